"""The exchange of a model's gradients, which lie in flat buffers."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic

from torch import Tensor

from compressors import Compressor, LevelUpdate
from compressors.identity import Beside
from hvd_qgenx.exchange import ConcreteExchange, Exchange, ExchangeOptions, Pipeline, Report
from hvd_qgenx.exchange.single_level import single_level
from hvd_qgenx.optim.agreement import check_agreement
from hvd_qgenx.optim.buffers import B
from hvd_qgenx.optim.level_updates import update_levels
from hvd_qgenx.optim.memories import Memories
from hvd_qgenx.optim.scales import ScaleFeed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Way(Generic[B]):
    """How the gradients of a buffer are exchanged."""

    buffer: B
    exchange: ConcreteExchange
    keep_own: bool
    """Are this rank's own gradients, as the others decode them, wanted?"""


class GradientExchange(Generic[B]):
    """Flat buffers of gradients, each with its exchange, its memory, and scales that follow its means.

    Collective, as ``begin`` and ``finish`` are: all ranks make it, and use it, alike.

    Args:
        buffers: the gradients.
        names: names of their parameters.
        compression: the compressor that the buffers were made for.
        exchange: serves all buffers but those of what it leaves uncompressed.
        memories: get the layout of the buffers.
        groups: the optimizer's parameter groups, as far as memories and scales need them.
        name: names the collectives; equal on all ranks.
        keep_own: whether this rank's own gradients, as the others decode them, are wanted.
        extrapolates: whether the optimizer makes two moves a step.

    Raises:
        ConfigurationError: ranks disagree on parameters or compression, or an exchange, a memory or a scale does not
            fit the compressor or the optimizer.
    """

    def __init__(
        self,
        buffers: Sequence[B],
        names: Mapping[Tensor, str],
        compression: Compressor,
        exchange: Exchange,
        memories: Memories,
        groups: Sequence[dict[str, Any]],
        name: str,
        *,
        keep_own: bool = False,
        extrapolates: bool = False,
    ) -> None:
        self.buffers = buffers
        self.buffer_of = {parameter: buffer for buffer in buffers for parameter in buffer.parameters}
        self._compression, self._exchange, self._name = compression, exchange, name
        self._memories, self._groups = memories, groups
        memories.lay_out(buffers, groups)
        self._ways = [self._way(buffer, keep_own) for buffer in buffers]
        slices = [way.exchange.slices(way.buffer.codec) for way in self._ways]
        check_agreement(names, compression, buffers, slices, exchange.transport, f"{name}.layout")
        self.scales = ScaleFeed(buffers, groups, extrapolates)

    def _way(self, buffer: B, keep_own: bool) -> _Way[B]:
        needs_own = self._memories.needs_own(buffer)
        keeps = keep_own or needs_own
        return _Way(buffer, self._exchange_for(buffer).resolve(buffer.codec, keeps, needs_own), keeps)

    def _exchange_for(self, buffer: B) -> Exchange:
        """Returns the exchange that was asked for, or one for what it leaves uncompressed."""
        if not isinstance(buffer.codec.alone, Beside):
            return self._exchange
        transport = self._exchange.transport
        return single_level(transport.size)(transport, self._exchange.slice_bytes)

    def warn_of_doubts(self) -> None:
        """Warns, on rank 0, of compressors that training may not reach a minimum with."""
        for doubt in self._memories.doubts(self.buffers) if self._exchange.transport.rank == 0 else ():
            log.warning(doubt)

    def begin(
        self,
        background: Executor | None,
        *,
        scale: float = 1.0,
        measure_error: bool = False,
        apart: bool = False,
    ) -> Pipeline:
        """Prepares the exchange of all buffers; none is sent yet.

        Args:
            background: as of ``Pipeline``.
            scale: factor on the gradients.
            measure_error: measure the compressor's error.
            apart: keep means out of the buffers' vectors until ``finish``.
        """
        self._memories.check(self._groups)
        self.scales.before_exchange()
        pipeline = Pipeline(background)
        for number, way in enumerate(self._ways):
            buffer, memory = way.buffer, self._memories.of(way.buffer)
            options = ExchangeOptions(scale, measure_error, way.keep_own)
            out = buffer.other if apart or memory else None
            transfer = way.exchange.begin(buffer.unwatched, buffer.codec, f"{self._name}.{number}", options, out)
            transfer.memory = memory
            pipeline.add(transfer, way.exchange.slices(buffer.codec), way.exchange.reduce, buffer.spans)
        return pipeline

    def finish(self, pipeline: Pipeline, report: Report) -> None:
        """Waits for all means, which are the buffers' vectors then; ``report`` gets bytes and seconds."""
        pipeline.finish()
        for buffer, transfer in zip(self.buffers, pipeline.transfers, strict=True):
            transfer.remember()
            buffer.replace(transfer.out)
            report.add(transfer.report)
        self.scales.after_exchange()

    def update_levels(self, scale: float, report: Report) -> dict[str, LevelUpdate]:
        """Lets a compressor that learns fit its levels to the gradients; returns the updates by group of tensors."""
        transport, name = self._exchange.transport, f"{self._name}.level_update"
        return update_levels(self._compression, self.buffers, scale, transport, name, report)
