"""Compressed scatter-reduce, then compressed all-gather."""

from itertools import pairwise
from typing import NamedTuple

import torch

from hvd_qgenx.exchange.base import PayloadExchange, blocks
from hvd_qgenx.exchange.codec import Codec, Coder
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_gather, all_to_all
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer
from hvd_qgenx.transport.base import Blocks


class Plan(NamedTuple):
    """All of a slice that does not change from exchange to exchange."""

    room: int
    """Bytes of all messages."""
    chunks: Coder
    """Encodes the chunks of this rank's vector, for their owners."""
    scatter: Blocks
    payloads: Coder
    """Decodes the mean of all ranks' payloads of this rank's chunk."""
    mean: Coder
    gather: Blocks
    means: Coder
    """Decodes the means of all chunks."""


class TwoPhase(PayloadExchange):
    """Rank k owns the k-th chunk of a slice: all send it their payload of that chunk, it decodes and
    averages them, compresses the mean and sends it to all.

    Sends 2 (K - 1) / K payloads, whatever the number of ranks K; quantizes twice, which is still
    unbiased. The owner too takes the decoded mean, so all ranks agree. Blocks of coordinates that compete for bits
    are dealt out to chunks in turn (``Compressor.deals``), so that each has its share of energy. Source of the
    scheme: Alistarh et al. (QSGD) and Markov et al. (CGX), there called scatter-reduce-all-gather.
    """

    compresses_once = False

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        channel, codec = self.channel, transfer.codec
        if plan := self.planned(transfer, start, stop):
            messages = codec.room(plan.room, transfer.vector.device)
            transfer.write(plan.chunks, messages)
            yield channel.exchange_blocks(messages, plan.scatter, f"{name}.scatter")
            transfer.rewrite(plan.payloads, plan.mean, messages)
            yield channel.exchange_blocks(messages, plan.gather, f"{name}.gather")
            transfer.read(plan.means, messages)
            codec.rooms.append(messages)
            return
        bounds = codec.cut(start, stop, channel.size)
        first, last = bounds[channel.rank : channel.rank + 2]
        deal = codec.deal(bounds, transfer.vector.device)

        payload, sizes = transfer.encode(bounds, deal)
        expected = [sizes[channel.rank]] * channel.size if codec.exact_size else None
        payloads = yield channel.all_to_all(payload, sizes, f"{name}.scatter", expected)

        mean = transfer.encode_mean(transfer.average(payloads, first, last), first)
        payloads = yield channel.all_gather(mean, sizes if codec.exact_size else None, f"{name}.gather")

        for payload, (first, last) in zip(payloads, pairwise(bounds), strict=True):
            transfer.put_payload(payload, first, last, deal)

    def plan(self, codec: Codec, start: int, stop: int, device: torch.device) -> Plan:
        """In the buffer lie chunks for other ranks, all ranks' payloads of this rank's chunk, and all means."""
        rank, bounds = self.channel.rank, codec.cut(start, stop, self.channel.size)
        ranges = list(pairwise(bounds))
        sizes = [codec.payload_bytes(*chunk) for chunk in ranges]
        sent = blocks([size if peer != rank else 0 for peer, size in enumerate(sizes)], 0)
        received = blocks([sizes[rank]] * len(sizes), sent[-1][1])
        means = blocks(sizes, received[-1][1])
        sent[rank] = received[rank]
        return Plan(
            means[-1][1],
            codec.coder([(*chunk, block[:1]) for chunk, block in zip(ranges, sent, strict=True)], device),
            Blocks(rank, sent, received),
            codec.coder([(*ranges[rank], [place for place, _ in received])], device),
            codec.coder([(*ranges[rank], means[rank][:1])], device),
            Blocks(rank, [means[rank]] * len(means), means, one=True),
            codec.coder([(*chunk, block[:1]) for chunk, block in zip(ranges, means, strict=True)], device),
        )

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """A rank encodes its vector and the mean of its chunk; it decodes a chunk of all ranks, then all chunks.

        4 d (1 + 1/K) / E + 8 d / D      all-to-all of P/K, all-gather of P/K
        """
        work = codec.encode_seconds(numel * (1 + 1 / ranks.total)) + codec.decode_seconds(2 * numel)
        chunk = codec.payload_bytes(numel) / ranks.total
        wire = all_to_all(machine, ranks, chunk) + all_gather(machine, ranks, chunk)
        return SliceCost(work, wire, 2 * machine.negotiation)
