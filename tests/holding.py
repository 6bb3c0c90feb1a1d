"""Processes that write the folder of a run, as far as others can see."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hvd_qgenx.runs import lock

PROGRAM = """
import sys
from pathlib import Path
from hvd_qgenx.runs import RunFolder
RunFolder(Path(sys.argv[1])).reserve(again=True)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has reserved the folder; it is killed at the end."""
    words = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def held_until_waited_for(
    monkeypatch: pytest.MonkeyPatch, folder: Path, last: Callable[[], object]
) -> Iterator[list[object]]:
    """Inside, another process has the folder; once this one waits for it, that calls ``last`` and ends.

    Yields a list of what ``last`` has returned.
    """
    with holder(folder) as process, monkeypatch.context() as patch:
        returned: list[object] = []

        def end(_: float) -> None:
            if not returned:
                returned.append(last())
            process.kill()
            process.wait()

        patch.setattr(lock.time, "sleep", end)
        yield returned
