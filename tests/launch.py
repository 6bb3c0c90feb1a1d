"""Runs programs on several Horovod ranks."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from hvd_qgenx.installed import is_installed

COMMAND = str(Path(sys.executable).with_name("hvd-qgenx"))
TIMEOUT = 240


def heed_interrupts() -> None:
    """Gives this process, and those it starts, the usual SIGINT: a shell makes commands with ``&`` ignore it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def without_horovod() -> str | None:
    """Why tests marked ``horovod`` cannot run here; None if they can. A Horovod that is broken lets them fail."""
    if not is_installed("horovod"):
        return "Horovod is not installed"
    return "mpirun is not installed" if shutil.which("mpirun") is None else None


def horovodrun(ranks: int, *command: str) -> list[str]:
    """The command line that starts ``command`` on so many local ranks."""
    launcher = str(Path(sys.executable).with_name("horovodrun"))
    return [launcher, "-np", str(ranks), "-H", f"localhost:{ranks}", *command]


def torchrun(ranks: int, *command: str) -> list[str]:
    """The command line that starts ``command`` on so many local ranks of torch.distributed, at a port of its own."""
    launcher = str(Path(sys.executable).with_name("torchrun"))
    return [launcher, "--standalone", "--nproc-per-node", str(ranks), "--no-python", *command]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Number and words of the command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield int(path.parent.name), path.read_text().split("\0")


def runs_command(words: list[str]) -> bool:
    """Whether a command line is that of a rank: ``hvd-qgenx``, itself or through its interpreter."""
    return Path(COMMAND).name in [Path(word).name for word in words[:2]]


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits for ``condition``.

    Raises:
        TimeoutError: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {seconds:g} s")
        time.sleep(0.02)


def untagged(text: str) -> str:
    """What ranks printed, without the launcher's tags and colours, which may stand in the middle of a line."""
    return re.sub(r"\[(?:1,)?\d+\]<std(?:out|err)>:|\x1b\[[\d;]*m", "", text)


def environment(**more: str) -> dict[str, str]:
    """The environment of this process, with one thread a rank."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HVD_QGENX_THREADS": "1", **more}


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs to the end, with one thread a rank and these variables, and captures output."""
    return subprocess.run(
        command,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
