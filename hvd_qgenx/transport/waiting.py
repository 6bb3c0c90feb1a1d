"""Waits for other ranks, but not forever."""

import logging
import math
import os
import time
from collections.abc import Callable, Collection

from hvd_qgenx.transport.environment import STALL_DISABLED, STALL_SHUTDOWN, STALL_WARNING

log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""Time allowed for messages that a rank sent before it left."""

Left = dict[int, tuple[str, float]]
"""Ranks that have left: a name for messages, and when this was heard."""

_ended: Left = {}
_joined: Left = {}
"""Ranks that are in ``hvd.join``."""


def note_ended(rank: int, name: str) -> None:
    """Notes that a rank has ended; ``name`` is for messages."""
    _ended[rank] = name, time.monotonic()


def note_joined(rank: int, name: str, joined: bool) -> None:
    """Notes whether a rank is in ``hvd.join``; ``name`` is for messages."""
    if joined:
        _joined.setdefault(rank, (name, time.monotonic()))
    else:
        _joined.pop(rank, None)


def wait_until(
    done: Callable[[], bool],
    ranks: Collection[int],
    pause: float,
    problem: Callable[[str], str],
    error: type[Exception],
    own: bool = True,
) -> None:
    """Returns once ``done()`` is true, which other ranks bring about.

    Args:
        done: the condition.
        ranks: those that are waited for, as numbers among all ranks.
        pause: seconds between two looks, which leave the core to others.
        problem: makes a sentence, from the time waited, for the log or an error.
        error: what to raise.
        own: whether the collective is ours; one of Horovod's warns by itself, and knows ``hvd.join``.

    Raises:
        error: one of the ranks has left, or HOROVOD_STALL_SHUTDOWN_TIME_SECONDS are over.
    """
    if done():
        return
    began, seconds, warned = time.monotonic(), 0.0, False
    warn_after, stop_after = stall_limits()
    while not done():
        time.sleep(pause)
        seconds = time.monotonic() - began
        lost = _missing(ranks, _ended, began, "has ended, so the others cannot go on")
        if own and not lost:
            lost = _missing(
                ranks,
                _joined,
                began,
                "has called hvd.join(), which compressed exchanges do not support; give all ranks as many batches, "
                "or use compression none",
            )
        if lost or seconds > stop_after:
            raise error(lost or problem(f"{seconds:.0f} s"))
        if own and seconds > warn_after and not warned:
            log.warning(problem(f"{seconds:.0f} s"))
            warned = True


def _missing(ranks: Collection[int], left: Left, began: float, problem: str) -> str | None:
    """Returns a sentence if any of the ranks has left, and has been waited for long enough since; otherwise None."""
    latest = time.monotonic() - GRACE_SECONDS
    names = [name for rank, (name, heard) in sorted(dict(left).items()) if rank in ranks and max(heard, began) < latest]
    return f"{', '.join(names)} {problem}" if names else None


def stall_limits() -> tuple[float, float]:
    """Returns seconds until ranks that others wait for are warned of, and until the job ends; infinite for never."""
    if os.environ.get(STALL_DISABLED, "0") not in ("", "0"):
        return math.inf, math.inf
    warn = float(os.environ.get(STALL_WARNING, "60"))
    return warn, float(os.environ.get(STALL_SHUTDOWN, "0")) or math.inf
