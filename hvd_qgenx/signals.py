"""Ending early in good order, as Ctrl-C, a batch system, Kubernetes or the end of a terminal ask for with a signal."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = 10.0
"""Time that a process may take to end, which it does at once unless something does not return."""
STANDARD_ERROR = 2


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: of the signal.
        advice: what a user can do now.
        together: whether all ranks have agreed on it.
    """

    def __init__(self, number: int, advice: str = "", together: bool = False) -> None:
        super().__init__(f"Stopped by {signal.Signals(number).name}{advice}")
        self.number = number
        self.code = 128 + number
        """The exit code that shells know such an end by."""
        self.together = together


def as_stopped(interrupt: KeyboardInterrupt) -> Stopped:
    """Returns an interrupt as what ended the process; one that is Python's own came with SIGINT."""
    return interrupt if isinstance(interrupt, Stopped) else Stopped(signal.SIGINT)


def heeded() -> list[signal.Signals]:
    """Returns the signals that end this process: those it was not started to ignore, as by ``nohup`` or with ``&``."""
    return [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]


def end_at_once() -> None:
    """Makes a signal end this process without a word from now on."""
    for number in heeded():
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def raised(seconds: float = SECONDS) -> Iterator[None]:
    """Makes the first signal inside the context raise ``Stopped`` in the main thread; a second ends the process.

    If the process has not ended ``seconds`` later, say because a function or a thread has not returned, it is ended.
    """

    def stop(number: int) -> None:
        raise Stopped(number)

    with handled(stop, seconds):
        yield


@contextmanager
def handled(handler: Callable[[int], None], seconds: float | None = None) -> Iterator[None]:
    """Calls ``handler`` with the first signal inside the context; a second ends the process at once.

    Only a process's main thread can: elsewhere signals stay what they are. In the middle of an import, which packages
    may go on with after an exception, the process ends at once where the handler raises one.

    Args:
        handler: raises an exception, or returns if it has taken note of the signal.
        seconds: after a signal that it has not taken note of, until the process is ended, inside the context or not;
            None: the process is not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        end_at_once()
        try:
            handler(number)
        except Stopped as stopped:
            if _imports(frame):
                os.write(STANDARD_ERROR, f"{stopped}\n".encode())
                os._exit(stopped.code)
            raise
        noted.set()

    with _deadline(seconds, noted):
        before = {number: signal.signal(number, handle) for number in heeded()}
        try:
            yield
        finally:
            for each, former in before.items():
                signal.signal(each, former)


def _imports(frame: FrameType | None) -> bool:
    """Tells whether a module is being imported."""
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


@contextmanager
def _deadline(seconds: float | None, noted: threading.Event) -> Iterator[None]:
    """Ends the process so many seconds after a signal, unless it is noted.

    The interpreter tells a pipe of a signal as soon as it comes, whatever the main thread is doing.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_wait, args=(reader, seconds, noted), name="deadline", daemon=True).start()
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _wait(reader: int, seconds: float | None, noted: threading.Event) -> None:
    while told := os.read(reader, 1):
        if told[0] in ENDING and not noted.wait(seconds):
            os._exit(128 + told[0])
    os.close(reader)
