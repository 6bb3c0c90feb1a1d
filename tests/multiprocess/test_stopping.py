"""A run that a signal asks to end leaves a checkpoint, and goes on from it to the same end."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.training.stopping import Agreement
from hvd_qgenx.transport.inprocess import InProcess, run
from tests import launch
from tests.multiprocess import threads

SETTINGS = {"filters": 8, "batch_size": 12, "log_every": 1, "sample_every": 1000, "seed": 3}
QUICK = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
TWICE = """
import os, signal, sys, threading
from hvd_qgenx.training import stopping
with stopping.asked() as asked:
    os.kill(os.getpid(), int(sys.argv[1]))
    assert asked() == int(sys.argv[1])
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def test_all_ranks_stop_at_the_same_point():
    def stopping_ranks(transport: InProcess) -> list[int]:
        asked = iter([0, 0, 15, 15, 15] if transport.rank == 1 else [0] * 5)
        agreement = Agreement(transport, lambda: next(asked))
        return [agreement.reached() for _ in range(4)]

    assert run(3, stopping_ranks) == [[0, 0, 0, 15]] * 3


def test_alone_a_rank_stops_at_once():
    assert Agreement(InProcess(), lambda: 2).reached() == 2


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGINT"), ("SIGINT", "SIGTERM")])
def test_the_second_signal_ends_at_once(first, second):
    numbers = [str(int(signal.Signals[name])) for name in (first, second)]
    assert launch.run([sys.executable, "-c", TWICE, *numbers]).returncode == -signal.Signals[second]


def stop(command: list[str], out: Path, log: Path, number: signal.Signals, *, rank: int) -> int:
    """Starts a run, sends a signal to one of its ranks after some updates, and returns the exit code."""
    with log.open("wb") as output:
        job = subprocess.Popen(command, env=launch.environment(), stdout=output, stderr=output, start_new_session=True)
    metrics = out / "metrics.csv"
    launch.until(
        lambda: job.poll() is not None or (metrics.exists() and metrics.read_text().count("\n") > 5), 120, "updates"
    )
    ranks = [pid for pid, words in launch.command_lines() if launch.runs_command(words) and str(out) in words]
    os.kill(sorted(ranks)[rank], number)
    return job.wait(timeout=60)


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def check(
    out: Path,
    log: Path,
    name: str,
    resume: Callable[[list[str]], None],
    train: Callable[[int, Path], dict],
    launcher: str = "",
) -> None:
    """A run was stopped, says so once, and ends as one of so many updates that ``train`` makes without a stop."""
    text = log.read_text()
    again = f"{launcher}hvd-qgenx gan --resume {out}"
    (update,) = re.findall(rf"Stopped by {name} after update (\d+); go on with: {again}\n", text)
    assert "Traceback" not in text
    rows = (out / "metrics.csv").read_text().splitlines()
    assert rows[-1].startswith(f"{update},")
    assert not list(out.glob(".*.draft"))
    updates = int(update) + 3
    resume(["gan", "--resume", str(out), "--updates", str(updates)])
    whole = train(updates, out.with_name("whole"))
    assert summary(out)["replica_hash"] == whole["replica_hash"]
    assert summary(out)["bytes_sent"] == whole["bytes_sent"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_process_stops_and_goes_on(tmp_path, number):
    def resume(words: list[str]) -> None:
        done = launch.run([launch.COMMAND, *words])
        assert done.returncode == 0, done.stderr

    def train(updates: int, whole: Path) -> dict:
        resume(["gan", *QUICK, "--updates", str(updates), "--out", str(whole)])
        return summary(whole)

    out, log = tmp_path / "run", tmp_path / "log"
    command = [launch.COMMAND, "gan", *QUICK, "--updates", "100000", "--out", str(out)]
    assert stop(command, out, log, number, rank=0) == 128 + number
    check(out, log, number.name, resume, train)


@pytest.mark.horovod
@pytest.mark.usefixtures("one_thread")
def test_a_signal_to_one_of_three_ranks_stops_all_of_them(tmp_path):
    def resume(words: list[str]) -> None:
        done = launch.run(launch.horovodrun(3, launch.COMMAND, *words))
        assert done.returncode == 0, done.stderr

    def train(updates: int, whole: Path) -> dict:
        return threads.train(3, GanConfig(**SETTINGS, updates=updates), whole)

    out, log = tmp_path / "run", tmp_path / "log"
    command = launch.horovodrun(3, launch.COMMAND, "gan", *QUICK, "--updates", "100000", "--out", str(out))
    assert stop(command, out, log, signal.SIGTERM, rank=1) == 143
    check(out, log, "SIGTERM", resume, train, "horovodrun -np 3 -H localhost:3 ")
