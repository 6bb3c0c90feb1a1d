"""Exchanges by name, and the default choice among them."""

from torch import Tensor

from compressors import Compressor
from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.allgather import AllGather
from hvd_qgenx.exchange.allreduce import AllReduce
from hvd_qgenx.exchange.base import Exchange, Pending
from hvd_qgenx.exchange.twophase import TwoPhase
from hvd_qgenx.transport import Transport


class Auto(Exchange):
    """All-reduce where payloads can be added; else all-gather up to two ranks, two-phase beyond.

    With two ranks all-gather and two-phase send the same bytes, and all-gather quantizes once.
    """

    def start(
        self, vector: Tensor, compressor: Compressor, name: str, measure: bool = False, own: bool = False
    ) -> Pending:
        return self.choose(compressor).start(vector, compressor, name, measure, own)

    def choose(self, compressor: Compressor) -> Exchange:
        if compressor.summable:
            return AllReduce(self.transport)
        return AllGather(self.transport) if self.transport.size <= 2 else TwoPhase(self.transport)


_exchanges: dict[str, type[Exchange]] = {
    "auto": Auto,
    "allreduce": AllReduce,
    "allgather": AllGather,
    "two-phase": TwoPhase,
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


def make(name: str, transport: Transport) -> Exchange:
    """The exchange called ``name`` over a transport; raises as ``get`` does."""
    return get(name)(transport)
