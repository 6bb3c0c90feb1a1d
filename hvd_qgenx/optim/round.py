"""One exchange of all gradients, begun while backward still computes."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from hvd_qgenx.exchange import Exchange, Shipment
from hvd_qgenx.exchange.base import IN_FLIGHT
from hvd_qgenx.exchange.conveyor import Conveyor
from hvd_qgenx.optim.flat import FlatGradients


@dataclass(eq=False)
class Slice:
    """A range of a buffer, which travels by itself."""

    shipment: Shipment
    start: int
    stop: int
    name: str
    missing: int = 0
    """Parameters in it whose gradients are not ready."""


class Round:
    """Takes every slice of the buffers on its way as soon as its gradients are ready.

    Slices leave in one order, the same on all ranks, whatever the order in which gradients come: a
    slice waits for those before it too.

    Args:
        buffers: gradients, replaced by their means.
        exchange: how.
        name: names the collectives; equal on all ranks.
        scale: what gradients are multiplied by before they are exchanged.
        background: runs one task at a time, so that backward goes on meanwhile.
        measure, own: as in ``Shipment``.
    """

    def __init__(
        self,
        buffers: Sequence[FlatGradients],
        exchange: Exchange,
        name: str,
        scale: float,
        background: Executor,
        measure: bool = False,
        own: bool = False,
    ) -> None:
        self._exchange, self._scale, self._background = exchange, scale, background
        self._conveyor = Conveyor(IN_FLIGHT)
        self._slices: list[Slice] = []
        self._sent: list[Future[None]] = []
        self._parts: dict[Tensor, list[Slice]] = {}
        self.shipments = [
            exchange.ship(buffer.unwatched, buffer.codec, f"{name}.{number}", measure, own)
            for number, buffer in enumerate(buffers)
        ]
        for buffer, shipment in zip(buffers, self.shipments, strict=True):
            self._cut(buffer, shipment)

    def _cut(self, buffer: FlatGradients, shipment: Shipment) -> None:
        slices = [
            Slice(shipment, start, stop, f"{shipment.name}.{index}")
            for index, (start, stop) in enumerate(pairwise(self._exchange.slices(buffer.codec)))
        ]
        for parameter, (start, stop) in zip(buffer.parameters, buffer.spans, strict=True):
            self._parts[parameter] = [each for each in slices if each.start < stop and start < each.stop]
            for each in self._parts[parameter]:
                each.missing += 1
        self._slices += slices

    def ready(self, parameter: Tensor) -> None:
        """The parameter's gradient is complete."""
        for each in self._parts.pop(parameter):
            each.missing -= 1
        while len(self._sent) < len(self._slices) and self._slices[len(self._sent)].missing == 0:
            self._send()

    def awaits(self, parameter: Tensor) -> bool:
        """Whether the parameter's gradient has not been called ready."""
        return parameter in self._parts

    def send_all(self) -> None:
        """All gradients are complete; returns once this rank's are encoded."""
        while len(self._sent) < len(self._slices):
            self._send()
        for sent in self._sent:
            sent.result()

    def finish(self) -> None:
        """Returns once the buffers hold the means."""
        self._background.submit(self._conveyor.drain).result()

    def _send(self) -> None:
        each = self._slices[len(self._sent)]
        before = self._sent[-1] if self._sent else None
        self._sent.append(self._background.submit(self._put, each, before))

    def _put(self, each: Slice, before: Future[None] | None) -> None:
        if before is not None:
            before.result()  # after a failure nothing more is sent
        if self._scale != 1:
            each.shipment.vector[each.start : each.stop].mul_(self._scale)
        journey = self._exchange.carry(each.shipment, each.start, each.stop, each.name)
        self._conveyor.put(journey, each.shipment.report)


class Inline(Executor):
    """Runs tasks at once, in the thread that hands them in: where there is nothing to do meanwhile."""

    def submit(self, function, /, *arguments, **keywords):  # type: ignore[no-untyped-def]
        future: Future[object] = Future()
        try:
            future.set_result(function(*arguments, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future
