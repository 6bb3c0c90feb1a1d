"""Ctrl-C and SIGTERM end every command, with a sentence, the exit code that shells know, and no process left."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from hvd_qgenx.cli import COMMANDS
from tests import launch

SECONDS = 60
"""Time for what takes a second or two on a machine of its own."""
BLOCKED = """
import importlib, sys, threading
module, name = sys.argv.pop(1).split(":")

def work(*_, **__):
    open("at-work", "w").close()
    threading.Event().wait()

setattr(importlib.import_module(module), name, work)
from hvd_qgenx.cli import main
main(prog_name="hvd-qgenx")
"""
"""A command, one of whose functions only waits."""
IMPORTED = """
import threading
try:
    open("at-work", "w").close()
    threading.Event().wait()
except BaseException as error:
    raise ImportError("an optional part is missing") from error
"""
LONG = ("--iterations", "100000000", "--out", "at-work")
SWEEP = """
out = "."
modes.at-work = {}
[options]
dataset = "digits"
device = "cpu"
filters = 4
updates = 100000000
"""


def at_work(_: psutil.Process) -> bool:
    return Path("at-work").exists()


def workers_at_work(group: psutil.Process) -> bool:
    """Whether two processes are on a core of their own, as each is before it plays."""
    settled = [child for child in group.children() if "spawn_main" in str(child.cmdline())]
    return len([child for child in settled if len(child.cpu_affinity()) == 1]) == 2


def updates_made(_: psutil.Process) -> bool:
    metrics = [*Path().glob("at-work*/metrics.csv")]
    return bool(metrics) and metrics[0].read_text().count("\n") > 2


def busy(place: str, *words: str) -> list[str]:
    return [sys.executable, "-c", BLOCKED, place, *words]


def real(*words: str) -> list[str]:
    return [launch.COMMAND, *words]


TRAIN = ("--updates", "100000000", "--log-every", "1", "--batch-size", "4", "--device", "cpu", "--out", "at-work")
CASES = {
    "gan": (real("gan", "--filters", "4", *TRAIN, "--local-ranks", "2"), updates_made),
    # its ranks never get to a collective: the process is ended after signals.SECONDS
    "classify": (busy("hvd_qgenx.training.launch:start", "classify", "--local-ranks", "2"), at_work),
    "language": (busy("hvd_qgenx.training.launch:plan", "language"), at_work),
    "vae": (busy("hvd_qgenx.training.launch:start", "vae"), at_work),
    "logistic": (real("logistic", *LONG), at_work),
    "sweep": (real("sweep", "sweep.toml"), updates_made),
    "report": (busy("hvd_qgenx.report:find", "report", "."), at_work),
    "evaluate": (busy("hvd_qgenx.tasks.evaluation:score_runs", "evaluate", "."), at_work),
    "sample": (busy("hvd_qgenx.tasks.sampling:sample", "sample", "."), at_work),
    "bilinear": (real("bilinear", *LONG, "--jobs", "1", "--workers", "2"), at_work),
    "game": (real("game", "matrix", *LONG, "--jobs", "2", "--workers", "2", "--seeds", "2"), workers_at_work),
    "topology": (busy("hvd_qgenx.gossip.comparison:measure", "topology", "ring"), at_work),
    "consensus": (real("consensus", "--rounds", "100000000", "--out", "at-work"), at_work),
    "levels": (busy("hvd_qgenx.levels.comparison:compare", "levels"), at_work),
    "measure": (real("measure", "--draws", "100000000", "--out", "at-work"), at_work),
    "bench codec": (real("bench", "codec", "--size", "1e8", "--json", "at-work/json"), at_work),
    "bench exchange": (
        real("bench", "exchange", "--numel", "1e5", "--workers", "3", "--repeats", "1000000", "--json", "at-work/json"),
        at_work,
    ),
    "bench report": (busy("hvd_qgenx.bench.files:read", "bench", "report", "."), at_work),
    "doctor": (busy("hvd_qgenx.doctor.finding:examine", "doctor"), at_work),
    "mpijob": (busy("hvd_qgenx.mpijob:load", "mpijob", "--check", "sweep.toml"), at_work),
    "trainjob": (busy("hvd_qgenx.mpijob:load", "trainjob", "--check", "sweep.toml"), at_work),
    "import": (busy("hvd_qgenx.cli.lazy:load", "gan"), at_work),
}
"""Commands, and how to see that each is at work. Those that would be done at once wait in one of their functions."""
BOTH = ("gan", "sweep", "bilinear", "game", "bench exchange")
"""Those that have threads or processes: two signals are tried."""


def test_every_command_is_tried():
    assert {name.partition(" ")[0] for name in CASES} == {*COMMANDS, "import"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(SWEEP)


@contextmanager
def started(words: list[str], ready: Callable[[psutil.Process], bool], **settings: Any) -> Iterator[psutil.Popen]:
    """A process in a session of its own that is at work; at the end all of the session is killed."""
    with Path("log").open("wb") as log:
        group = psutil.Popen(
            words,
            env=launch.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **settings,
        )
    try:
        launch.until(lambda: group.poll() is not None or ready(group), SECONDS, "getting to work")
        assert group.poll() is None, Path("log").read_text()
        yield group
    finally:
        for process in left():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        group.wait()


def left() -> list[psutil.Process]:
    """Processes that were started from here: by their folder, since some have a session of their own."""
    here, found = str(Path.cwd()), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.cwd() == here and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize(
    ("name", "number"),
    [
        (name, number)
        for order, name in enumerate(CASES)
        for number in (signal.SIGINT, signal.SIGTERM)
        if name in BOTH or (number == signal.SIGINT) == (order % 2 == 0)
    ],
)
def test_a_signal_ends_a_command(name, number):
    words, ready = CASES[name]
    with started(words, ready) as group:
        kept = {path: path.stat().st_size for path in Path().rglob("*.csv")}
        if number == signal.SIGINT:
            os.killpg(group.pid, number)  # as a terminal does
        else:
            group.send_signal(number)
        assert group.wait(SECONDS) == 128 + number, Path("log").read_text()
        launch.until(lambda: not left(), SECONDS, "the end of all processes")
    printed = Path("log").read_text()
    assert printed.count(f"Stopped by {number.name}") == 1, printed
    assert "Traceback" not in printed
    assert "leaked" not in printed
    assert all(path.stat().st_size >= size for path, size in kept.items())


@pytest.mark.parametrize("name", ["game", "sweep"])
def test_processes_end_with_a_command_that_is_killed(name):
    with started(*CASES[name]) as group:
        group.kill()
        launch.until(lambda: not left(), SECONDS, "the end of all processes")


def test_a_command_in_the_background_ignores_what_it_was_told_to():
    with started(*CASES["import"], preexec_fn=ignore_interrupts) as group:
        group.send_signal(signal.SIGINT)
        group.send_signal(signal.SIGTERM)
        assert group.wait(SECONDS) == 143
    assert Path("log").read_text() == "Stopped by SIGTERM\n"


def ignore_interrupts() -> None:
    """As a shell does for a command that it starts with ``&``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_signal_in_an_import_is_heeded_though_a_package_goes_on_after_it():
    Path("package.py").write_text(IMPORTED)
    program = "from hvd_qgenx import signals\nwith signals.raised():\n    import package"
    with started([sys.executable, "-c", program], at_work) as group:
        group.send_signal(signal.SIGINT)
        assert group.wait(SECONDS) == 130
    assert Path("log").read_text() == "Stopped by SIGINT\n"
