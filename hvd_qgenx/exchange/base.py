"""The interface of exchanges."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from compressors import Compressor, Reduction
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.cost import FP32, CodecSpeed, Machine, Ranks, SliceCost
from hvd_qgenx.exchange.pipeline import IN_FLIGHT, Pipeline, Steps
from hvd_qgenx.exchange.slices import SLICE_BYTES, cut
from hvd_qgenx.exchange.transfer import PLAIN, ExchangeOptions, Transfer
from hvd_qgenx.transport import Transport

_CARRIERS: dict[Reduction, str] = {
    "gather": "allgather or two-phase",
    "average": "allreduce",
    "sum": "integer-sum",
    "rounds": "rounds",
}
"""Exchanges for compressors of each reduction."""
_FAULTS: dict[Reduction, str] = {
    "average": "cannot be averaged",
    "sum": "are no integers",
    "rounds": "need no rounds",
}


class Exchange(ABC):
    """Computes means of flat vectors over ranks, through compressors. All ranks get the same bits.

    Args:
        transport: carries the payloads.
        slice_bytes: approximate payload of a slice; a vector is exchanged in ``MOST_SLICES`` slices at most.

    Raises:
        ConfigurationError: ``slice_bytes`` is not positive.
    """

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        if slice_bytes < 1:
            raise ConfigurationError(f"a slice must have at least 1 byte, not {slice_bytes}")
        self.transport, self.slice_bytes = transport, slice_bytes

    @classmethod
    @abstractmethod
    def check(cls, compressor: Compressor) -> None:
        """Raises ConfigurationError unless this exchange can carry the compressor's payloads."""

    @abstractmethod
    def resolve(self, codec: Codec, keep_own: bool = False, once: bool = False) -> "ConcreteExchange":
        """Returns the exchange that serves vectors of a codec; to be asked once for every buffer.

        Args:
            codec: encodes and decodes the vectors.
            keep_own: whether the vectors' transfers are to keep this rank's own vector (``ExchangeOptions.keep_own``).
            once: whether vectors must be compressed once only, as memories need it (``feedback``).

        Raises:
            ConfigurationError: this exchange cannot do so.
        """

    def mean(self, vector: Tensor, compressor: Compressor, name: str) -> Tensor:
        """Returns the mean over ranks of a flat vector, which stays as it is.

        Raises:
            ConfigurationError: this exchange cannot carry the compressor's payloads.
        """
        codec = Codec([(compressor, len(vector))], vector.dtype)
        exchange = self.resolve(codec)
        return exchange.compute_mean(exchange.begin(vector, codec, name, out=torch.empty_like(vector)))


class ConcreteExchange(Exchange):
    """An exchange that does the work itself, instead of choosing one that does.

    A vector is exchanged in slices, a few at a time, so that coding and communication overlap. Where it is cut depends
    on its length and compressors alone, so that all ranks and runs cut it alike.

    A subclass brings its coroutine (``reduce``), the cost of a slice, and facts for those who choose an exchange.
    """

    reduction: ClassVar[Reduction] = "gather"
    """How payloads of several ranks are brought together; see ``Compressor.reduction``."""
    needs_hosts: ClassVar[bool] = False
    """Does it need several hosts with several ranks on each?"""
    compresses_once: ClassVar[bool] = True
    """Is the mean that of the ranks' vectors as ``Transfer.own`` has them?"""
    negotiates: ClassVar[bool] = False
    """Does Horovod negotiate the start of its collectives, which otherwise go over MPI directly?"""
    slice_factor: ClassVar[int] = 1
    """Slices have so many times ``slice_bytes``."""

    @classmethod
    def check(cls, compressor: Compressor) -> None:
        if cls.reduction not in ("gather", compressor.reduction):
            fault = _FAULTS[cls.reduction]
            raise ConfigurationError(f"payloads of {compressor.name} {fault}; use {_CARRIERS[compressor.reduction]}")
        if compressor.shared_randomness and not cls.compresses_once:
            raise ConfigurationError(f"{compressor.name} cannot compress a mean again; use allgather")

    @classmethod
    def suits(cls, compressor: Compressor) -> bool:
        """Tells if it is a candidate for the compressor: payloads that can be added are best added."""
        again = not cls.compresses_once and (compressor.shared_randomness or not compressor.unbiased)
        return cls.reduction == compressor.reduction and not again

    def resolve(self, codec: Codec, keep_own: bool = False, once: bool = False) -> "ConcreteExchange":
        if once and not self.compresses_once:
            name = re.sub("(?<=[a-z])(?=[A-Z])", "-", type(self).__name__).lower()
            raise ConfigurationError(
                f"{name} compresses means again, so that feedback could not know what it has lost; "
                "use allgather or, for integers, integer-sum"
            )
        for segment in codec.segments:
            self.check(segment.compressor)
        return self

    def slices(self, codec: Codec) -> list[int]:
        """Returns the bounds of the slices in which a vector is exchanged."""
        codec.refresh()
        if self not in codec.plans:
            codec.plans[self] = cut(codec, self.slice_factor * self.slice_bytes)
        found: list[int] = codec.plans[self]
        return found

    def begin(
        self, vector: Tensor, codec: Codec, name: str, options: ExchangeOptions = PLAIN, out: Tensor | None = None
    ) -> Transfer:
        """Returns the transfer of a vector, whose mean is to be put into ``out``, by default into itself.

        Raises:
            ConfigurationError: the exchange cannot keep what ``options`` ask for.
        """
        return Transfer(vector, codec, name, options, out)

    @abstractmethod
    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        """Computes the mean of the coordinates from ``start`` to ``stop``; ``name`` names the collectives."""

    def compute_mean(self, transfer: Transfer) -> Tensor:
        """Computes the mean of the whole vector of a transfer, at once; returns it."""
        pipeline = Pipeline()
        pipeline.add(transfer, self.slices(transfer.codec), self.reduce)
        pipeline.finish()
        return transfer.out

    @classmethod
    @abstractmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """Returns the seconds that one slice of ``numel`` coordinates costs, by the model of ``exchange.cost``."""

    @classmethod
    def cost(
        cls,
        machine: Machine,
        ranks: Ranks,
        numel: float,
        codec: CodecSpeed = FP32,
        slices: int = 1,
        depth: int = IN_FLIGHT,
    ) -> float:
        """Returns the seconds of an exchange of ``numel`` coordinates in slices, ``depth`` of them under way."""
        return cls.slice_cost(machine, ranks, numel / slices, codec).pipelined(slices, depth)


class PayloadExchange(ConcreteExchange):
    """An exchange whose payloads are decoded before they are averaged.

    Where payloads have known lengths, all of a slice that does not change is planned at its first exchange.
    """

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        self.channel = transport.ordered(transport.unique("exchange"))
        """Carries payloads; used in one order on all ranks, so an exchange serves one optimizer."""

    @abstractmethod
    def plan(self, codec: Codec, start: int, stop: int, device: torch.device) -> Any:
        """Plans the exchange of a slice of vectors on a device."""

    def planned(self, transfer: Transfer, start: int, stop: int) -> Any:
        """Returns the plan of a slice; None if it cannot be planned."""
        plans, key = transfer.codec.plans, (self, start, stop)
        if key not in plans:
            can = transfer.codec.is_fixed(start, stop)
            plans[key] = self.plan(transfer.codec, start, stop, transfer.vector.device) if can else None
        return plans[key]


def blocks(sizes: Sequence[int], start: int) -> list[tuple[int, int]]:
    """Returns begin and end of messages of these sizes that lie end to end."""
    return list(pairwise(accumulate(sizes, initial=start)))
