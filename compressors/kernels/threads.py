"""Threads of the CPU kernels: one, the environment's number, or the number given to ``set_threads``.

Results do not depend on it. Any number of threads may call kernels at once; they share the helpers.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

VARIABLE = "HVD_QGENX_THREADS"
"""The environment variable that holds the number."""

_SMALL = 1 << 16
"""Fewer coordinates than this are left to the calling thread."""


class _Crew:
    """The calling thread and its helpers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.helpers = ThreadPoolExecutor(size - 1, "kernel") if size > 1 else None

    def share(self, count: int, work: Callable[[int, int], None]) -> None:
        if self.helpers is None:
            work(0, count)
            return
        bounds = [count * i // self.size for i in range(self.size + 1)]
        mine, *others = pairwise(bounds)
        futures = [self.helpers.submit(work, *part) for part in others]
        try:
            work(*mine)
        finally:
            wait(futures)  # the memory they write to belongs to the caller
        for future in futures:
            future.result()


_crew: _Crew | None = None


def set_threads(number: int) -> None:
    """Lets every kernel call on CPU tensors use this many threads, the calling one among them.

    Raises:
        ValueError: fewer than one.
    """
    global _crew
    if number < 1:
        raise ValueError(f"kernels need at least one thread, not {number}")
    if _crew is None or _crew.size != number:
        _crew = _Crew(number)


def threads() -> int:
    """The number of threads of a kernel call.

    Raises:
        ValueError: the environment variable is in force and not a positive integer.
    """
    return _current().size


def share(count: int, numel: int, work: Callable[[int, int], None]) -> None:
    """Calls ``work(first, last)`` for parts of ``range(count)``, at once in several threads if ``numel`` is large.

    Raises:
        ValueError: as ``threads`` does.
    """
    crew = _current()
    if numel < _SMALL:
        work(0, count)
    else:
        crew.share(count, work)


def _current() -> _Crew:
    if _crew is None:
        set_threads(_from_environment())
    assert _crew is not None
    return _crew


def _from_environment() -> int:
    value = os.environ.get(VARIABLE, "1")
    if not (value.isascii() and value.isdecimal() and int(value) > 0):
        raise ValueError(f"{VARIABLE} is {value!r}, not a positive number of threads")
    return int(value)
