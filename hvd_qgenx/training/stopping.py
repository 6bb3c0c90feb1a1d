"""Ending training early on all ranks alike, when a signal asks one of them to."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor

from hvd_qgenx.signals import SECONDS, Stopped, handled
from hvd_qgenx.transport import Transport, Work


class Agreement:
    """Tells all ranks at the same point that some rank was asked to stop.

    At every call each rank sends a byte to the others, and looks at those of the call before: so nobody waits.

    Args:
        transport: of the ranks.
        asked: the signal that has asked this rank to stop; 0 if none has.
    """

    def __init__(self, transport: Transport, asked: Callable[[], int]) -> None:
        self._transport, self._asked = transport, asked
        self._under_way: Work[list[Tensor]] | None = None

    def reached(self) -> int:
        """Returns the signal for which all ranks stop here, or 0. Collective; the same on all ranks."""
        if self._transport.size == 1:
            return self._asked()
        found = self._finish()
        if not found:
            mine = torch.tensor([self._asked()], dtype=torch.uint8)
            self._under_way = self._transport.all_gather(mine, [1] * self._transport.size, "stop")
        return found

    def end(self) -> None:
        """Ranks go on to their end now. Collective."""
        self._finish()

    def _finish(self) -> int:
        under_way, self._under_way = self._under_way, None
        return max(int(flag) for flag in under_way.wait()) if under_way else 0


@dataclass
class _Note:
    """What the main thread notes for ranks that are threads."""

    number: int = 0
    """The signal; 0 before."""
    ranks: int = 0
    """Number of ranks that can agree on it now."""


_note: _Note | None = None
_counting = threading.Lock()


@contextmanager
def asked() -> Iterator[Callable[[], int]]:
    """Notes the first signal that asks this process to end inside the context; a second ends the process.

    Gives a function that returns the number of the signal noted, 0 before; that of SIGTERM too if horovodrun was
    ended. Only a process's main thread can: elsewhere signals stay what they are, or are those that it notes
    in ``noting``.
    """
    if threading.current_thread() is not threading.main_thread():
        note = _note or _Note()
        with _counting:
            note.ranks += 1
        try:
            yield lambda: note.number
        finally:
            with _counting:
                note.ranks -= 1
        return
    noted = _Note()
    horovodrun_ended = _watch_horovodrun()
    with handled(lambda number: setattr(noted, "number", number)):
        yield lambda: noted.number or (signal.SIGTERM if horovodrun_ended() else 0)


@contextmanager
def noting() -> Iterator[None]:
    """Notes a signal for ranks that are threads of this process, and are in ``asked``; raises ``Stopped`` if none is.

    For a process's main thread.
    """
    global _note
    noted = _note = _Note()

    def note(number: int) -> None:
        if not noted.ranks:
            raise Stopped(number)
        noted.number = number

    try:
        with handled(note, SECONDS):
            yield
    finally:
        _note = None


def _watch_horovodrun() -> Callable[[], bool]:
    """Gives a function that tells whether horovodrun was ended since.

    It becomes a shell that waits for mpirun, and that dies of signals without passing them on. A rank whose parent is
    mpirun, so on the same host, sees mpirun change its own parent.
    """
    with suppress(psutil.Error):
        mpirun = psutil.Process().parent()
        shell = mpirun.parent() if mpirun else None
        words = shell.cmdline() if shell else []
        if mpirun and shell and words[1:2] == ["-c"] and words[2].startswith("mpirun "):
            return lambda: not mpirun.is_running() or mpirun.ppid() != shell.pid
    return lambda: False
