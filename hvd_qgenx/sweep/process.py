"""Runs commands as processes that are never left behind."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from hvd_qgenx.children import terminate_with_parent
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs.lock import Lock

LOOK = 0.5
"""Seconds between two polls of a run."""
GRACE = 20.0
"""Seconds that a process may take to end."""


def program(name: str) -> str:
    """Returns the path of a program, beside this interpreter or in PATH.

    Raises:
        ConfigurationError: it is not found.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ConfigurationError(f"there is no program {name!r}; install it, or change `launch`")
    return found


def run(words: Sequence[str], log: Path, meanwhile: Callable[[], None], keep: Sequence[int]) -> int:
    """Runs a command to its end and returns its exit code; negative: minus the signal that ended it.

    Args:
        words: the command.
        log: the file that its output is appended to.
        meanwhile: called at every poll.
        keep: file descriptors that the command inherits.

    If this call is interrupted, the command is ended, with all processes that it started on this host; on Linux it is
    told to end even if this process is killed.
    """
    with (
        log.open("ab") as output,
        psutil.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # only this process gets Ctrl-C
            pass_fds=keep,
            preexec_fn=terminate_with_parent,
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
    """Ends a process and its descendants, by SIGTERM first; a launcher alone would exit before its ranks."""
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
    """Returns whether a process is alive; a zombie, which its parent may never reap, is not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Locks a folder against other sweeps; yields a descriptor that runs inherit, so one left behind keeps the lock.

    Raises:
        ConfigurationError: the folder cannot be made, or another sweep is in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder, "a sweep or a run that it left behind")
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}; choose another out") from error
    try:
        yield lock.file.fileno()
    finally:
        lock.release()
