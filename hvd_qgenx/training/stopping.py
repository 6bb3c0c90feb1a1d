"""Ending early in good order, as Ctrl-C, a batch system or Kubernetes asks for with a signal."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import torch
from torch import Tensor

from hvd_qgenx.transport import Transport, Work

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: of the signal.
        advice: what a user can do now.
        together: whether all ranks have agreed on it.
    """

    def __init__(self, number: int, advice: str = "", together: bool = False) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name}{advice}")
        self.code = 128 + number
        """The exit code that shells know such an end by."""
        self.together = together


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


_shared: Callable[[], int] | None = None
"""Returns the signal that the main thread has noted, for ranks that are threads of this process."""


@contextmanager
def asked() -> Iterator[Callable[[], int]]:
    """Notes the first SIGTERM or SIGINT inside the context; a second ends the process.

    Gives a function that returns the number of the signal noted, 0 before; that of SIGTERM too if horovodrun was
    ended. Only a process's main thread can: elsewhere signals stay what they are, or are those that it has noted.
    """
    global _shared
    if threading.current_thread() is not threading.main_thread():
        yield _shared or (lambda: 0)
        return
    noted = 0
    horovodrun_ended = _watch_horovodrun()

    def note(number: int, _: Any) -> None:
        nonlocal noted
        noted = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    with _handled(note, SIGNALS):
        _shared = lambda: noted or (signal.SIGTERM if horovodrun_ended() else 0)  # noqa: E731
        try:
            yield _shared
        finally:
            _shared = None


@contextmanager
def raised() -> Iterator[None]:
    """Makes SIGTERM raise ``Stopped`` inside the context, as SIGINT raises KeyboardInterrupt."""

    def stop(number: int, _: Any) -> None:
        raise Stopped(number)

    with _handled(stop, (signal.SIGTERM,)):
        yield


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


@contextmanager
def _handled(handler: Callable[[int, Any], None], numbers: tuple[int, ...]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
