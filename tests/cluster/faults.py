"""Hurts runs on three hosts in many ways, and tells what became of them; see ``hosts``.

    python -m tests.cluster.faults RATE FOLDER [WORD ...]

RATE is that of the links. FOLDER gets the runs, faults.json and faults.md. WORDs choose faults, by what is in their
names. As root.
"""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from PIL import Image

from hvd_qgenx.runs import checkpoint
from hvd_qgenx.tasks.gan.task import GanTask
from tests.cluster.hosts import Hosts, HostsError, command, missing, three_hosts
from tests.cluster.jobs import ON_ONE, Job
from tests.launch import untagged, until

UPDATES = 60
OPTIONS = (
    *("gan", "--expect-ranks", "3", "--dataset", "digits", "--device", "cpu", "--batch-size", "6", "--filters", "32"),
    *("--log-every", "1", "--sample-every", "20", "--checkpoint-every", "10.5", "--updates", str(UPDATES)),
)
LIMIT = 12
"""Seconds that a rank may be silent."""
ENVIRONMENT = {
    "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": str(LIMIT),
    "HOROVOD_STALL_CHECK_TIME_SECONDS": str(LIMIT // 3),
}
PATIENCE = 300
"""Seconds that starting or ending may take."""
TOLD = re.compile(r"Error: \S.*|Stopped by .*|.*mpirun noticed that .*|ORTE has lost communication.*")
ODD_RANK = (sys.executable, str(Path(__file__).with_name("odd_rank.py")))

Blow = Callable[[Job, random.Random], None]


@dataclass(frozen=True)
class Fault:
    """Something that happens to a run."""

    what: str
    blow: Blow
    """Does it, at the right moment."""
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("hvd-qgenx",)
    """What trains."""
    room: str = ""
    """Size of the disk that the run is written to; empty: as it is."""


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    what: str
    code: int | None
    """The launcher's exit code, as a shell has it; None if it had to be killed."""
    seconds: float
    """From the fault to the end of all processes."""
    told: list[str]
    """Sentences that say what happened."""
    tracebacks: int
    left: list[str]
    """Processes that had to be killed."""
    broken: list[str]
    """Files of the run that cannot be read."""
    updates: float
    """Of the last checkpoint; 0 if there was none yet."""
    same: bool
    """Whether the run, resumed if need be, ended in the replicas of one that nothing happened to."""


def kill_at_random(job: Job, chance: random.Random) -> None:
    """Some rank, at some update."""
    job.until_update(chance.randrange(UPDATES - 5))
    job.send(signal.SIGKILL, chance.choice(list(job.hosts)))


def kill_while_starting(job: Job, chance: random.Random) -> None:
    """Some rank, as soon as it is there."""
    host = chance.choice(list(job.hosts))
    until(lambda: bool(host.ranks()), PATIENCE, "starting")
    time.sleep(chance.uniform(0, 5))
    job.send(signal.SIGKILL, host)


def kill_while_checkpointing(job: Job, chance: random.Random) -> None:
    """The rank that writes, while there is a file that it has not finished."""
    job.until_update(chance.randrange(10, 40))
    rank = job.rank(job.hosts.a)
    assert rank is not None
    deadline = time.monotonic() + PATIENCE
    while not list(job.run.glob(".checkpoint.pt.*.draft")) and time.monotonic() < deadline:
        pass
    os.kill(rank, signal.SIGKILL)


def kill_while_scoring(job: Job, chance: random.Random) -> None:
    """Some rank, after an update that is scored."""
    job.until_update(20)
    time.sleep(0.3)
    job.send(signal.SIGKILL, chance.choice(list(job.hosts)))


def freeze(name: str, seconds: float | None) -> Blow:
    """Stops the rank on a host; for so long, or for good."""

    def blow(job: Job, chance: random.Random) -> None:
        job.until_update(chance.randrange(10, 30))
        host = getattr(job.hosts, name)
        job.send(signal.SIGSTOP, host)
        if seconds:
            time.sleep(seconds)
            job.send(signal.SIGCONT, host)

    return blow


def cut(name: str, seconds: float | None) -> Blow:
    """Takes a host off the network; for so long, or for good."""

    def blow(job: Job, chance: random.Random) -> None:
        job.until_update(chance.randrange(10, 30))
        host = getattr(job.hosts, name)
        host.set_link("down")
        if seconds:
            time.sleep(seconds)
            host.set_link("up")

    return blow


def signal_rank(number: signal.Signals, name: str) -> Blow:
    """Sends a signal to the rank on a host."""

    def blow(job: Job, chance: random.Random) -> None:
        job.until_update(chance.randrange(10, 30))
        job.send(number, getattr(job.hosts, name))

    return blow


def signal_launcher(number: signal.Signals, *, to: str = "horovodrun") -> Blow:
    """Sends a signal to horovodrun, to its process group as Ctrl-C does, or to mpirun."""

    def blow(job: Job, chance: random.Random) -> None:
        job.until_update(chance.randrange(10, 30))
        if to == "group":
            os.killpg(job.launcher.pid, number)
        else:
            launcher = psutil.Process(job.launcher.pid)
            (launcher if to == "horovodrun" else launcher.children()[0]).send_signal(number)

    return blow


def at_update(update: int) -> Blow:
    """Nothing from outside; the clock starts after this update."""
    return lambda job, _: job.until_update(update)


SCORED = ("--score-every", "20", "--score-samples", "20000")
FAULTS = (
    *(Fault(f"kill -9, random rank, random update ({number})", kill_at_random) for number in range(1, 6)),
    *(Fault(f"kill -9, random rank, while starting ({number})", kill_while_starting) for number in range(1, 4)),
    Fault("kill -9, rank 0, while it writes a checkpoint (1)", kill_while_checkpointing, ("--checkpoint-every", "0.5")),
    Fault("kill -9, rank 0, while it writes a checkpoint (2)", kill_while_checkpointing, ("--checkpoint-every", "0.5")),
    Fault("kill -9, random rank, while scoring", kill_while_scoring, SCORED),
    Fault("kill -9, horovodrun", signal_launcher(signal.SIGKILL)),
    Fault("kill -9, mpirun", signal_launcher(signal.SIGKILL, to="mpirun")),
    Fault(f"rank 1 frozen for {LIMIT // 2} s", freeze("b", LIMIT / 2)),
    Fault("rank 1 frozen for good", freeze("b", None)),
    Fault("rank 0 frozen for good", freeze("a", None)),
    Fault("rank 1 hangs, its other threads live", at_update(12), program=(*ODD_RANK, "hang", "12")),
    Fault(f"host b off the network for {LIMIT // 2} s", cut("b", LIMIT / 2)),
    Fault("host b off the network for good", cut("b", None)),
    Fault("SIGTERM to rank 2", signal_rank(signal.SIGTERM, "c")),
    Fault("SIGTERM to mpirun", signal_launcher(signal.SIGTERM, to="mpirun")),
    Fault("SIGTERM to horovodrun", signal_launcher(signal.SIGTERM)),
    Fault("Ctrl-C at horovodrun", signal_launcher(signal.SIGINT, to="group")),
    Fault("disk full", at_update(20), room="3m"),
    Fault("NaN in a gradient of rank 1", at_update(12), program=(*ODD_RANK, "nan", "12")),
)


def suffer(hosts: Hosts, fault: Fault, folder: Path, chance: random.Random, expected: str) -> Outcome:
    """Lets a fault happen to a run, and then lets the run go on to its end."""
    folder.mkdir(parents=True)
    hosts = replace(hosts, environment={**hosts.environment, **ENVIRONMENT})
    with _disk(folder / "disk", fault.room) as disk:
        run = disk / "run"
        job = Job(hosts, run, folder / "log", *OPTIONS, *fault.options, program=fault.program)
        fault.blow(job, chance)
        began = time.monotonic()
        code = job.end(PATIENCE)
        left = job.clear(60)
        seconds = time.monotonic() - began
        for host in hosts:
            host.set_link("up")
        text = untagged(job.text())
        updates = _checkpointed(run)
        broken = list(_broken(run))
        if fault.room:
            subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        hash_ = finish(hosts, run, folder / "resumed.log")
    told = list(dict.fromkeys(TOLD.findall(text)))
    return Outcome(fault.what, code, seconds, told, text.count("Traceback"), left, broken, updates, hash_ == expected)


def finish(hosts: Hosts, run: Path, log: Path) -> str:
    """Resumes a run, or begins it, with three ranks on the first host; returns its replicas' hash."""
    if not (run / "summary.json").exists():
        Job(hosts, run, log, *OPTIONS, launcher=ON_ONE).end(PATIENCE)
    return str(json.loads((run / "summary.json").read_text())["replica_hash"])


def _checkpointed(run: Path) -> float:
    path = run / "checkpoint.pt"
    return checkpoint.load(path, GanTask.kind)["move"] / 2 if path.exists() else 0.0


def _broken(run: Path) -> Iterator[str]:
    """Reads every file of a run; yields the names of those that cannot be read."""
    readers: dict[str, Callable[[Path], object]] = {
        ".json": lambda path: json.loads(path.read_text()),
        ".csv": _read_table,
        ".png": lambda path: Image.open(path).load(),
        ".pt": lambda path: checkpoint.load(path, GanTask.kind),
    }
    for path in sorted(run.rglob("*")):
        try:
            readers.get(path.suffix, Path.stat)(path)
        except Exception as error:
            yield f"{path.name}: {error}"


def _read_table(path: Path) -> None:
    text = path.read_text()
    rows = list(csv.reader(text.splitlines()))
    if not text.endswith("\n") or len({len(row) for row in rows}) > 1:
        raise ValueError("it has half a row")


@contextmanager
def _disk(path: Path, room: str) -> Iterator[Path]:
    """A folder; on a disk of its own if that is to have a size."""
    path.mkdir()
    if not room:
        yield path
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def markdown(outcomes: list[Outcome]) -> str:
    """A table of what happened."""
    lines = [
        "| what happened | exit code | seconds to the end | what was said | left | broken | resumed from | same hash |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        cells = (
            each.what,
            "killed" if each.code is None else each.code,
            f"{each.seconds:.1f}",
            "<br>".join(each.told) + (f" ({each.tracebacks} tracebacks)" if each.tracebacks else ""),
            len(each.left),
            len(each.broken),
            f"{each.updates:g}",
            "yes" if each.same else "**no**",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main(rate: str, folder: str, *words: str) -> int:
    """Returns 0 if every run could go on as if nothing had happened, and nothing was left of it."""
    if reason := missing():
        raise HostsError(reason)
    path = Path(folder).resolve()
    chosen = [fault for fault in FAULTS if not words or any(word in fault.what for word in words)]
    outcomes = []
    with three_hosts(rate, path / "hosts") as hosts:
        expected = finish(hosts, path / "whole" / "run", path / "whole.log")
        for number, fault in enumerate(chosen):
            chance = random.Random(fault.what)
            outcomes.append(suffer(hosts, fault, path / f"{number:02d}", chance, expected))
            print(markdown(outcomes).splitlines()[-1], flush=True)
            (path / "faults.json").write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
            (path / "faults.md").write_text(markdown(outcomes))
    return int(any(outcome.left or outcome.broken or not outcome.same for outcome in outcomes))


if __name__ == "__main__":
    command(main, __doc__)
