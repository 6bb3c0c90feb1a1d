"""Several slices under way at once."""

from collections import deque
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from hvd_qgenx.exchange.transfer import Transfer
from hvd_qgenx.transport import Work

Steps = Generator[Work[Any], Any, None]
"""The coroutine that exchanges one slice: yields every collective that it starts, and is sent its result."""

IN_FLIGHT = 2
"""Collectives under way at most: while one is waited for, or its payload coded, the other keeps the wire busy."""


@dataclass(eq=False)
class _Slice:
    """A range of a transfer, which is exchanged by itself."""

    transfer: Transfer
    start: int
    stop: int
    steps: Callable[[], Steps]
    missing: int = 0
    """Parts of it that are not ready."""


class Pipeline:
    """Exchanges transfers slice by slice, so that while one slice is on the wire another is encoded or decoded.

    Slices start in the order in which they were added, the same on all ranks, whatever the order in which their
    parts become ready: a slice waits for those before it too. Collectives are waited for first in, first out, so
    that their order depends on the order of slices alone. After a failure nothing more is sent.

    Args:
        background: runs one task at a time, so that the caller goes on meanwhile; None: the calling thread does
            the work.
        depth: collectives in flight at most.
    """

    def __init__(self, background: Executor | None = None, depth: int = IN_FLIGHT) -> None:
        self.transfers: list[Transfer] = []
        self._background, self._depth = background or _Inline(), depth
        self._slices: list[_Slice] = []
        self._parts: dict[Hashable, list[_Slice]] = {}
        self._submitted = 0
        """Slices that have been told to start."""
        self._starts: list[Future[None]] = []
        self._in_flight: deque[tuple[_Slice, Steps, Work[Any]]] = deque()

    def add(
        self,
        transfer: Transfer,
        bounds: Sequence[int],
        reduce: Callable[[Transfer, int, int, str], Steps],
        parts: Mapping[Any, tuple[int, int]] | None = None,
    ) -> None:
        """Appends the slices of a transfer; none starts before ``ready``, ``start_all`` or ``finish`` is called.

        Args:
            transfer: the vector to be exchanged.
            bounds: where the slices begin and end; the same on all ranks.
            reduce: makes a slice's coroutine, as ``ConcreteExchange.reduce``.
            parts: ranges of the vector that become ready by themselves, by keys for ``ready``.
        """
        slices = [
            _Slice(transfer, start, stop, partial(reduce, transfer, start, stop, f"{transfer.name}.{number}"))
            for number, (start, stop) in enumerate(pairwise(bounds))
        ]
        for key, (start, stop) in (parts or {}).items():
            self._parts[key] = [each for each in slices if each.start < stop and start < each.stop]
            for each in self._parts[key]:
                each.missing += 1
        self.transfers.append(transfer)
        self._slices += slices

    def ready(self, key: Hashable) -> None:
        """Says that a part of a vector is complete; starts every slice that waited for nothing else."""
        for each in self._parts.pop(key):
            each.missing -= 1
        stop = self._submitted
        while stop < len(self._slices) and self._slices[stop].missing == 0:
            stop += 1
        self._submit(stop)

    def awaits(self, key: Hashable) -> bool:
        """Tells if the part has not been called ready."""
        return key in self._parts

    def start_all(self) -> None:
        """Starts every slice, ready or not; returns once this rank's first payload of each is encoded."""
        self._submit(len(self._slices))
        for start in self._starts:
            start.result()

    def finish(self) -> None:
        """Starts what has not started; returns once all vectors hold their means."""
        self.start_all()
        self._background.submit(self._drain).result()

    def _submit(self, stop: int) -> None:
        """Has the slices before ``stop`` started, in the background."""
        if stop > self._submitted:
            before = self._starts[-1] if self._starts else None
            self._starts.append(self._background.submit(self._start, self._slices[self._submitted : stop], before))
            self._submitted = stop

    def _start(self, slices: Sequence[_Slice], before: Future[None] | None) -> None:
        if before is not None:
            before.result()  # raises what the slices before have met
        for each in slices:
            while len(self._in_flight) >= self._depth:
                self._advance(*self._in_flight.popleft())
            each.transfer.prepare(each.start, each.stop)
            self._advance(each, each.steps(), None)

    def _drain(self) -> None:
        while self._in_flight:
            self._advance(*self._in_flight.popleft())

    def _advance(self, each: _Slice, steps: Steps, work: Work[Any] | None) -> None:
        """Waits for a slice's collective, and lets the slice go on until it starts another."""
        result = None if work is None else each.transfer.report.wait(work)
        try:
            work = steps.send(result)
        except StopIteration:
            return
        self._in_flight.append((each, steps, work))


class _Inline(Executor):
    """Runs tasks at once, in the thread that submits them."""

    def submit(self, function, /, *arguments, **keywords):  # type: ignore[no-untyped-def]
        future: Future[object] = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future
