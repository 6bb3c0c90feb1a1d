"""Waits for other ranks, but not forever."""

import math
import os
import time
import warnings
from collections.abc import Callable, Collection

from horovod.common.exceptions import HorovodInternalError

from hvd_qgenx.transport.environment import STALL_DISABLED, STALL_SHUTDOWN, STALL_WARNING

GRACE_SECONDS = 2.0
"""What a rank has sent before it ended may be on its way for so long."""

_ended: dict[int, tuple[str, float]] = {}
"""Ranks that have ended: a name for messages, and when this was heard."""


def note_ended(rank: int, name: str) -> None:
    """Notes that a rank has ended; ``name`` is for messages."""
    _ended.setdefault(rank, (name, time.monotonic()))


def wait_until(
    done: Callable[[], bool],
    ranks: Collection[int],
    pause: float,
    problem: Callable[[str], str],
    warns: bool = True,
) -> None:
    """Returns once ``done()`` is true, which other ranks bring about.

    Args:
        done: the condition.
        ranks: those that are waited for, as numbers among all ranks.
        pause: seconds between two looks, which leave the core to others.
        problem: makes a sentence, from the time waited, for a warning or an error.
        warns: whether to warn after HOROVOD_STALL_CHECK_TIME_SECONDS.

    Raises:
        HorovodInternalError: one of the ranks has ended, or HOROVOD_STALL_SHUTDOWN_TIME_SECONDS are over.
    """
    if done():
        return
    began, warned = time.monotonic(), False
    warn_after, stop_after = stall_limits()
    while not done():
        time.sleep(pause)
        now = time.monotonic()
        gone = [name for rank, (name, heard) in _ended.items() if rank in ranks and now - heard > GRACE_SECONDS]
        if gone:
            raise HorovodInternalError(f"{', '.join(gone)} has ended, so the others cannot go on")
        seconds = now - began
        if seconds > stop_after:
            raise HorovodInternalError(problem(f"{seconds:.0f} s"))
        if warns and seconds > warn_after and not warned:
            warnings.warn(problem(f"{seconds:.0f} s"), stacklevel=2)
            warned = True


def stall_limits() -> tuple[float, float]:
    """Returns seconds until ranks that others wait for are warned of, and until the job ends; infinite for never."""
    if os.environ.get(STALL_DISABLED, "0") not in ("", "0"):
        return math.inf, math.inf
    warn = float(os.environ.get(STALL_WARNING, "60"))
    return warn, float(os.environ.get(STALL_SHUTDOWN, "0")) or math.inf
