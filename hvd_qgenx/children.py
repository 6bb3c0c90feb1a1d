"""Processes that work for this one, and end with it, however it ends."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hvd_qgenx.signals import ENDING

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG, of Linux."""
_control = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@contextmanager
def killed() -> Iterator[None]:
    """Kills processes of ``multiprocessing`` that were started inside the context, if an exception leaves it."""
    others = set(multiprocessing.active_children())
    try:
        yield
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise


@contextmanager
def undisturbed() -> Iterator[None]:
    """Starts processes inside that do not get signals which are meant for this one, and which it ends by.

    The mask is inherited, so it holds while they start, too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Makes this process, which ``multiprocessing`` has started, ignore signals and end when its parent ends."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def terminate_with_parent() -> None:
    """Makes Linux send this process SIGTERM when its parent ends; to be called between fork and exec."""
    if _control:
        _control(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
