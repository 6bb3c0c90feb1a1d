"""Exchanges by name, and the default choice among them."""

from torch import Tensor

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.allgather import AllGather
from hvd_qgenx.exchange.allreduce import AllReduce
from hvd_qgenx.exchange.base import SLICE_BYTES, Exchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.conveyor import Journey
from hvd_qgenx.exchange.flat import for_ranks
from hvd_qgenx.exchange.hierarchical import Hierarchical
from hvd_qgenx.exchange.shipment import Shipment
from hvd_qgenx.exchange.twophase import TwoPhase
from hvd_qgenx.transport import Transport

PAYS_FROM = 4
"""Ranks on each host from which the cost model has hierarchical clearly ahead at 1 gbit/s; see docs/exchange.md."""


class Auto(Exchange):
    """All-reduce where payloads can be added; else hierarchical if there are several hosts with ``PAYS_FROM``
    ranks or more on each; else all-gather up to two ranks, two-phase beyond.

    With two ranks all-gather and two-phase send the same bytes, and all-gather quantizes once.
    """

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        self._sums = AllReduce(transport, slice_bytes)
        self._flat = for_ranks(transport.size)(transport, slice_bytes)
        local = transport.local()
        self._hosts = Hierarchical(transport, slice_bytes) if local is not None and local.size >= PAYS_FROM else None

    def ship(self, vector: Tensor, codec: Codec, name: str, measure: bool = False, own: bool = False) -> Shipment:
        return self.choose(codec, own).ship(vector, codec, name, measure, own)

    def slices(self, codec: Codec) -> list[int]:
        return self.choose(codec).slices(codec)

    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        return self.choose(shipment.codec, shipment.own is not None).carry(shipment, start, stop, name)

    def choose(self, codec: Codec, own: bool = False) -> Exchange:
        """The exchange for vectors of this codec; ``own`` as in ``Shipment``."""
        if codec.alone is not None and codec.alone.summable:
            return self._sums
        return self._hosts if self._hosts is not None and not own else self._flat


_exchanges: dict[str, type[Exchange]] = {
    "auto": Auto,
    "allreduce": AllReduce,
    "allgather": AllGather,
    "two-phase": TwoPhase,
    "hierarchical": Hierarchical,
}
NAMES = tuple(_exchanges)


def get(name: str) -> type[Exchange]:
    """The class of the exchange called ``name``.

    Raises:
        ConfigurationError: no such exchange; the sentence gives the nearest name.
    """
    if name not in _exchanges:
        raise ConfigurationError(unknown("exchange", name, NAMES))
    return _exchanges[name]


def make(name: str, transport: Transport, slice_bytes: int = SLICE_BYTES) -> Exchange:
    """The exchange called ``name`` over a transport; raises as ``get`` does, and as the exchange's class."""
    return get(name)(transport, slice_bytes)
