"""Integers that are added exactly: scattered, summed by owners, and gathered."""

from itertools import pairwise

import torch

from compressors import SummedCompressor
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_gather, all_to_all
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer
from hvd_qgenx.exchange.twophase import TwoPhase
from hvd_qgenx.transport import Transport


class IntegerSum(TwoPhase):
    """Rank k owns the k-th chunk of a slice: all send it their integers of that chunk, it adds them, and sends the
    exact sum to all, at the least width that holds it.

    Every coordinate is rounded once, and no arithmetic library or order of additions matters: any number of ranks gets
    the exact sum. Sends (K - 1) / K payloads and as many sums, which are wider by log2 K bits at most. An exchange for
    which the compressor has no scale is not compressed.
    """

    reduction = "sum"
    compresses_once = True

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        channel, compressor = self.channel, transfer.summed
        yield from agree(channel, transfer, start, stop, name)
        if not compressor.ready:
            yield from super().reduce(transfer, start, stop, name)
            return
        bounds = transfer.codec.cut(start, stop, channel.size)
        first, last = bounds[channel.rank : channel.rank + 2]

        payload, sizes = transfer.encode(bounds)
        expected = [sizes[channel.rank]] * channel.size if transfer.codec.exact_size else None
        payloads = yield channel.all_to_all(payload, sizes, f"{name}.scatter", expected)

        sums = yield channel.all_gather(transfer.add_up(payloads, first, last), None, f"{name}.gather")

        for message, (first, last) in zip(sums, pairwise(bounds), strict=True):
            transfer.put_sum(message, first, last)

    def slices(self, codec: Codec) -> list[int]:
        return summed_slices(codec, super().slices(codec))

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """A rank encodes its vector, adds a chunk of all ranks, and decodes all sums.

        4 d / E + 8 d / D                all-to-all of P/K, all-gather of (P + d log2(K) / 8) / K
        """
        work = codec.encode_seconds(numel) + codec.decode_seconds(2 * numel)
        payload = codec.payload_bytes(numel)
        total = payload + numel * (ranks.total - 1).bit_length() / 8
        wire = all_to_all(machine, ranks, payload / ranks.total) + all_gather(machine, ranks, total / ranks.total)
        return SliceCost(work, wire, 2 * machine.negotiation)


def summed_slices(codec: Codec, usual: list[int]) -> list[int]:
    """Returns the bounds of slices; there is one alone if ranks must compare whole vectors first."""
    assert isinstance(codec.alone, SummedCompressor)
    return [0, codec.numel] if codec.alone.measures else usual


def agree(transport: Transport, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
    """Lets ranks compare their vectors, if the compressor must know of all before it can encode one."""
    compressor = transfer.summed
    if compressor.measures:
        mine = compressor.measure(transfer.vector[start:stop])
        everyone = yield transport.all_gather(mine, [len(mine)] * transport.size, f"{name}.measure")
        compressor.agree(everyone)


def average(transport: Transport, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
    """Takes the mean of coordinates for which the compressor has no scale yet, as they are."""
    transfer.encode([start, stop])  # which looks for Inf and NaN
    mean = yield transport.all_reduce_mean(transfer.vector[start:stop], f"{name}.mean", transfer.out[start:stop])
    transfer.finite &= bool(torch.isfinite(mean).all())
