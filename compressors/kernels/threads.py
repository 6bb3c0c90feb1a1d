"""Threads of the CPU kernels: those given to ``set_threads``, else the environment's, else ``set_share``'s, else one.

Results do not depend on their number. Any number of threads may call kernels at once; they share the helpers.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

VARIABLE = "HVD_QGENX_THREADS"
"""The environment variable that holds the number."""

_ENOUGH = 1 << 15
"""No thread is woken for fewer coordinates than this."""


class _Crew:
    """The calling thread and its helpers."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.helpers = ThreadPoolExecutor(size - 1, "kernel") if size > 1 else None

    def share(self, count: int, parts: int, work: Callable[[int, int], None]) -> None:
        if self.helpers is None or parts < 2:
            work(0, count)
            return
        bounds = [count * i // parts for i in range(parts + 1)]
        mine, *others = pairwise(bounds)
        futures = [self.helpers.submit(work, *part) for part in others]
        try:
            work(*mine)
        finally:
            wait(futures)  # the memory they write to belongs to the caller
        for future in futures:
            future.result()


_crew: _Crew | None = None
_given: int | None = None
_share = 1


def set_threads(number: int) -> None:
    """Lets every kernel call on CPU tensors use this many threads, the calling one among them.

    Raises:
        ValueError: fewer than one.
    """
    global _given
    if number < 1:
        raise ValueError(f"kernels need at least one thread, not {number}")
    _given = number


def set_share(number: int) -> None:
    """Sets the number of threads for a process that has not been given one, by ``set_threads`` or the environment."""
    global _share
    _share = number


def threads() -> int:
    """The number of threads of a kernel call.

    Raises:
        ValueError: the environment variable is in force and not a positive integer.
    """
    return _current().size


def share(count: int, numel: int, work: Callable[[int, int], None]) -> None:
    """Calls ``work(first, last)`` for parts of ``range(count)``, at once in as many threads as ``numel`` is worth.

    Raises:
        ValueError: as ``threads`` does.
    """
    crew = _current()
    crew.share(count, min(crew.size, numel // _ENOUGH), work)


def _current() -> _Crew:
    global _crew
    number = _given or _from_environment() or _share
    if _crew is None or _crew.size != number:
        _crew = _Crew(number)
    return _crew


def _from_environment() -> int | None:
    value = os.environ.get(VARIABLE)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and int(value) > 0):
        raise ValueError(f"{VARIABLE} is {value!r}, not a positive number of threads")
    return int(value)
