"""The default: an exchange chosen by compressor, ranks and hosts."""

from compressors import Compressor, Reduction
from hvd_qgenx.exchange.allgather import AllGather
from hvd_qgenx.exchange.allreduce import AllReduce
from hvd_qgenx.exchange.base import ConcreteExchange, Exchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.hierarchical import Hierarchical
from hvd_qgenx.exchange.integersum import IntegerSum
from hvd_qgenx.exchange.rounds import Rounds
from hvd_qgenx.exchange.single_level import single_level
from hvd_qgenx.exchange.slices import SLICE_BYTES
from hvd_qgenx.transport import Transport

LEAST_PER_HOST = 4
"""Ranks on each host from which the cost model has hierarchical clearly ahead at 1 gbit/s; see docs/exchange.md."""


class Auto(Exchange):
    """All-reduce where payloads are averaged, integer-sum where they are integers, rounds where the compressor has
    such; else hierarchical if there are several hosts with ``LEAST_PER_HOST`` ranks or more on each; else all-gather
    up to two ranks, two-phase beyond.

    Where this rank's own vector is to be kept, as Q-GenX needs it, hierarchical is never chosen; where vectors must be
    compressed once, for feedback or because of the compressor, neither is two-phase.
    """

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        self._adding: dict[Reduction, ConcreteExchange] = {
            "average": AllReduce(transport, slice_bytes),
            "sum": IntegerSum(transport, slice_bytes),
            "rounds": Rounds(transport, slice_bytes),
        }
        self._single_level = single_level(transport.size)(transport, slice_bytes)
        local = transport.local()
        many = local is not None and local.size >= LEAST_PER_HOST
        self._two_levels = Hierarchical(transport, slice_bytes) if many else None

    @classmethod
    def check(cls, compressor: Compressor) -> None:
        """Accepts every compressor."""

    def resolve(self, codec: Codec, keep_own: bool = False, once: bool = False) -> ConcreteExchange:
        if codec.alone is not None and codec.alone.reduction in self._adding:
            return self._adding[codec.alone.reduction]
        once = once or any(not each.unbiased or each.shared_randomness for each, _, _ in codec.segments)
        if once and not self._single_level.compresses_once:
            return AllGather(self.transport, self.slice_bytes)
        return self._single_level if self._two_levels is None or keep_own or once else self._two_levels
