"""All-reduces of what a compressor asks for, round by round."""

from typing import cast

import torch
from torch import Tensor

from compressors import RoundsCompressor
from hvd_qgenx.exchange.base import ConcreteExchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_reduce
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer


class Rounds(ConcreteExchange):
    """Averages vectors one after the other, as PowerSGD needs its factors: the second is made from the first's mean.

    A vector is one slice, since its matrices cannot be cut.
    """

    reduction = "rounds"
    negotiates = True

    def slices(self, codec: Codec) -> list[int]:
        return [0, codec.numel]

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        compressor = cast("RoundsCompressor", transfer.codec.alone)
        rounds = compressor.rounds(transfer.vector[start:stop], transfer.wants_own)
        with transfer.report.clock("encode"):
            message = next(rounds)
        if not _finite(message):  # which it is only if the vector is
            transfer.find_not_finite(start, stop)
        number, finite = 0, True
        while True:
            mean = yield self.transport.all_reduce_mean(message, f"{name}.{number}")
            number, finite = number + 1, finite and _finite(mean)
            with transfer.report.clock("encode"):
                try:
                    message = rounds.send(mean)
                except StopIteration as end:
                    averaged = end.value
                    break
        transfer.put_averaged(averaged, finite, start, stop)

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """The factors are computed once, and their product once.

        4 d / E + 4 d / D                two all-reduces of P/2
        """
        work = codec.encode_seconds(numel) + codec.decode_seconds(numel)
        wire = 2 * all_reduce(machine, ranks, codec.payload_bytes(numel) / 2)
        return SliceCost(work, wire, 2 * machine.negotiation)


def _finite(message: Tensor) -> bool:
    return bool(torch.isfinite(message).all())
