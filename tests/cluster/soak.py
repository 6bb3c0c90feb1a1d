"""Trains on three hosts for a long time, while ranks and launchers are killed; see ``hosts``.

    python -m tests.cluster.soak MINUTES FOLDER [SEED]

Every 20 to 120 s something is killed and the run resumed; for the last two fifths of the time it is left alone. Then
it trains a few updates more to a last one, and so does a run on one host that nothing ever happened to: both must end
with the same hash. Memory and file descriptors of every rank are sampled meanwhile. FOLDER gets the runs, soak.json and
soak.png. As root.
"""

import json
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.hosts import Hosts, HostsError, command, missing, three_hosts
from tests.cluster.jobs import ON_ONE, Job
from tests.launch import until

RATE = "20mbit"
"""Slow enough that the run that nothing happens to, without a network, takes a fraction of the time."""
OPTIONS = (
    *("gan", "--expect-ranks", "3", "--dataset", "digits", "--device", "cpu", "--batch-size", "6"),
    *("--filters", "64", "--log-every", "5", "--sample-every", "500", "--checkpoint-every", "25.5"),
)
ENDLESS = ("--updates", "10000000")
CALM = 0.4
"""Of the time, at the end: a life long enough to see memory grow."""
PAUSE = (20.0, 120.0)
"""Seconds between two blows."""
TRAINING = 0.8
"""Of the blows, come that long after the first new update; the others after the start."""
LOOK = 3.0
"""Seconds between two samples."""
WARM = 0.25
"""Of a life, before memory is compared."""
MORE = 10
"""Updates that are trained after the last stop."""


@dataclass
class Life:
    """What was seen of one life of the job."""

    began: float
    end: str = ""
    """What ended it."""
    updates: tuple[int, int] = (0, 0)
    seconds_to_end: float = 0.0
    """From the blow to the end of all its processes."""
    left: list[str] = field(default_factory=list)
    """Processes that had to be killed afterwards."""
    samples: dict[str, list[tuple[float, int, int]]] = field(default_factory=dict)
    """Of the rank on every host: seconds since the soak began, bytes of resident memory, open file descriptors."""

    def growth(self) -> dict[str, float]:
        """By what part memory has grown, by host, between the beginning (once warm) and the end of the life."""
        found = {}
        for host, samples in self.samples.items():
            warm = [memory for _, memory, _ in samples[int(len(samples) * WARM) :]]
            tenth = max(1, len(warm) // 10)
            if len(warm) >= 20:
                found[host] = sum(warm[-tenth:]) / sum(warm[:tenth]) - 1
        return found

    def descriptors(self) -> dict[str, tuple[int, int]]:
        """The fewest and the most open file descriptors, by host, once warm."""
        warm = {host: samples[int(len(samples) * WARM) :] for host, samples in self.samples.items()}
        return {host: (min(s[2] for s in some), max(s[2] for s in some)) for host, some in warm.items() if some}


class Soak:
    """A run with many lives."""

    def __init__(self, hosts: Hosts, folder: Path, seed: int) -> None:
        self.hosts, self.folder, self.random = hosts, folder, random.Random(seed)
        self.run = folder / "run"
        self.lives: list[Life] = []
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the soak began."""
        return time.monotonic() - self._began

    def live(self, seconds: float, blow: Callable[[Job], str] | None, *options: str) -> Job:
        """One life: starts or resumes the run, and ends it with ``blow`` after so many seconds, or lets it end."""
        job = Job(self.hosts, self.run, self.folder / f"life-{len(self.lives):03d}.log", *(OPTIONS + options))
        life = Life(self.now())
        self.lives.append(life)
        first = job.updates()
        with self._sampled(job, life):
            if blow:
                if self.random.random() < TRAINING:
                    until(lambda: job.updates() > first or job.launcher.poll() is not None, 300, "an update")
                with suppress(subprocess.TimeoutExpired):
                    job.launcher.wait(seconds)
                life.end = blow(job) if job.launcher.poll() is None else "ended by itself"
        struck = self.now()  # no more samples: of processes that end memory shrinks
        job.launcher.wait(timeout=seconds if not blow else 120)
        life.left = job.clear(60)
        life.seconds_to_end = self.now() - struck
        life.updates = (first, job.updates())
        print(
            f"{self.now():7.0f} s  life {len(self.lives):3d}  updates {first:6d} to {life.updates[1]:6d}  "
            f"{life.end}; {life.seconds_to_end:.1f} s to the end, {len(life.left)} processes left",
            flush=True,
        )
        return job

    def strike(self, job: Job) -> str:
        """Ends the job in one of the ways that jobs end; says how."""
        host = self.random.choice(list(self.hosts))
        how = self.random.choice(["rank killed", "rank killed", "rank killed", "rank terminated", "launcher killed"])
        if how == "launcher killed":
            job.launcher.kill()
            return "launcher killed"
        job.send(signal.SIGKILL if how == "rank killed" else signal.SIGTERM, host)
        return f"{how} on host {host.name}"

    @contextmanager
    def _sampled(self, job: Job, life: Life) -> Iterator[None]:
        """Inside, a thread samples all ranks."""
        over = threading.Event()

        def look() -> None:
            ranks: dict[str, psutil.Process] = {}
            while not over.wait(LOOK):
                for host in self.hosts:
                    with suppress(psutil.NoSuchProcess):
                        if host.name not in ranks and (pid := job.rank(host)):
                            ranks[host.name] = psutil.Process(pid)
                        if process := ranks.get(host.name):
                            sample = (self.now(), process.memory_info().rss, process.num_fds())
                            life.samples.setdefault(host.name, []).append(sample)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def main(minutes: str, folder: str, seed: str = "0") -> int:
    """Returns 0 if both runs ended with the same hash and nothing was left."""
    if reason := missing():
        raise HostsError(reason)
    path = Path(folder).resolve()
    path.mkdir(parents=True)
    with three_hosts(RATE, path / "hosts") as hosts:
        soak = Soak(hosts, path, int(seed))
        seconds = 60 * float(minutes)
        while soak.now() < seconds * (1 - CALM):
            soak.live(soak.random.uniform(*PAUSE), soak.strike, *ENDLESS)
        soak.live(max(PAUSE[0], seconds - soak.now()), terminate, *ENDLESS)
        last = stopped_after((path / f"life-{len(soak.lives) - 1:03d}.log").read_text()) + MORE
        soak.live(600, None, "--updates", str(last))
        soak.lives[-1].end = "done"
        print(f"training {last} updates on one host", flush=True)
        Job(hosts, path / "reference", path / "reference.log", *OPTIONS, "--updates", str(last), launcher=ON_ONE).end(
            3600
        )
    return report(path, soak, last)


def terminate(job: Job) -> str:
    """Asks the launcher's rank to end."""
    job.send(signal.SIGTERM, job.hosts.a)
    return "rank terminated on host a"


def stopped_after(text: str) -> int:
    """The update that a run was stopped after, from what it printed."""
    found = re.search(r"Stopped by SIGTERM after update (\d+)", text)
    if not found:
        raise RuntimeError(f"the run was not stopped: {text[-2000:]}")
    return int(found[1])


def report(path: Path, soak: Soak, last: int) -> int:
    """Writes and prints what was found."""
    hashes = [json.loads((path / name / "summary.json").read_text())["replica_hash"] for name in ("run", "reference")]
    longest = max(soak.lives, key=lambda life: max((len(samples) for samples in life.samples.values()), default=0))
    found: dict[str, Any] = {
        "minutes": soak.now() / 60,
        "rate": RATE,
        "lives": len(soak.lives),
        "ends": {end: sum(life.end == end for life in soak.lives) for end in sorted({life.end for life in soak.lives})},
        "updates": last,
        "processes_left": sum(len(life.left) for life in soak.lives),
        "longest_seconds_to_end": max(life.seconds_to_end for life in soak.lives),
        "longest_life_seconds": max((s[-1][0] - s[0][0] for s in longest.samples.values()), default=0),
        "memory_growth": longest.growth(),
        "descriptors": longest.descriptors(),
        "hashes": hashes,
        "same_hash": hashes[0] == hashes[1],
    }
    (path / "soak.json").write_text(json.dumps({**found, "history": [asdict(life) for life in soak.lives]}, indent=1))
    plot(soak, path / "soak.png")
    print(json.dumps(found, indent=2))
    return 0 if found["same_hash"] and not found["processes_left"] else 1


def plot(soak: Soak, file: Path) -> None:
    """Memory and file descriptors of all ranks over time; what ended each life is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    memory, descriptors = figure.subplots(2, 1, sharex=True)
    for color, name in zip(("C0", "C1", "C2"), ("a", "b", "c"), strict=True):
        for number, life in enumerate(soak.lives):
            samples = life.samples.get(name, [])
            label = f"host {name}" if number == 0 else None
            minutes = [at / 60 for at, _, _ in samples]
            memory.plot(minutes, [bytes_ / 2**20 for _, bytes_, _ in samples], color=color, label=label, linewidth=1)
            descriptors.plot(minutes, [count for _, _, count in samples], color=color, linewidth=1)
    for axes in (memory, descriptors):
        for life in soak.lives[1:]:
            axes.axvline(life.began / 60, color="0.8", linewidth=0.8, zorder=0)
        axes.set_ylim(bottom=0)
    memory.set_ylabel("resident memory, MiB")
    memory.legend(frameon=False)
    descriptors.set_ylabel("open file descriptors")
    descriptors.set_xlabel("minutes; a line where a new life begins")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    command(main, __doc__)
