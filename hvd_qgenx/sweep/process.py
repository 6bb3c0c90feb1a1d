"""A run as a process."""

import fcntl
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from hvd_qgenx.errors import ConfigurationError

LOOK = 0.5
"""Seconds between two looks at a run."""
GRACE = 20.0
"""Seconds that a process has to end."""


def program(name: str) -> str:
    """Path of a program: beside this one's interpreter, or where the shell would find it.

    Raises:
        ConfigurationError: there is none.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ConfigurationError(f"there is no program {name!r}; install it, or start the runs with another `launch`")
    return found


def run(words: Sequence[str], log: Path, meanwhile: Callable[[], None], keep: Sequence[int]) -> int:
    """Runs a command to its end and returns its exit code; negative: minus the signal that ended it.

    Args:
        words: the command.
        log: gets what it prints, behind what is there.
        meanwhile: called every now and then.
        keep: file descriptors that the command inherits.

    If this is interrupted, so is the command, with all that it started on this host.
    """
    with (
        log.open("ab") as output,
        psutil.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes here alone
            pass_fds=keep,
        ) as process,
    ):
        try:
            while True:
                with suppress(psutil.TimeoutExpired):
                    return int(process.wait(LOOK))
                meanwhile()
        except BaseException:
            _stop(process)
            raise


def _stop(process: psutil.Popen) -> None:
    """Ends a process and those below it, gently first; a launcher alone would leave before its ranks have."""
    with suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        deadline = time.monotonic() + GRACE
        while any(map(_lives, family)) and time.monotonic() < deadline:
            time.sleep(LOOK / 10)
        for each in filter(_lives, family):
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _lives(process: psutil.Process) -> bool:
    """Not so if only its entry is left, for a parent to take away that may never do so."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Keeps other sweeps out of a folder; gives a descriptor that runs inherit, so a run left behind does so too.

    Raises:
        ConfigurationError: the folder cannot be made, or another sweep is in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}; choose another out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another sweep, or a run that it left behind, is at work in {folder}; wait for it, or stop it"
            ) from None
        yield file.fileno()


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """A signal that would end this process comes as KeyboardInterrupt, so that nothing is left running."""
    ending = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in ending:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)
