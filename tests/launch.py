"""Runs programs on several Horovod ranks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("hvd-qgenx"))
TIMEOUT = 240


def require_horovod() -> None:
    """Skips where there is no Horovod to run."""
    pytest.importorskip("horovod.torch", exc_type=ImportError)
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed")


def horovodrun(ranks: int, *command: str) -> list[str]:
    """The command line that starts ``command`` on so many local ranks."""
    launcher = str(Path(sys.executable).with_name("horovodrun"))
    return [launcher, "-np", str(ranks), "-H", f"localhost:{ranks}", *command]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs to the end, with one thread a rank, and captures output."""
    return subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
