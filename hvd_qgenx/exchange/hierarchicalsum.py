"""Integers that are added inside hosts first, then between hosts."""

from itertools import pairwise

import torch

from compressors import CodedIntegers, Compressor, IntegerCompressor
from compressors.integers import Sum
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.base import ConcreteExchange
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_gather, all_to_all
from hvd_qgenx.exchange.hierarchical import inside_host, two_levels
from hvd_qgenx.exchange.integersum import IntegerSum, average
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.slices import SLICE_BYTES
from hvd_qgenx.exchange.transfer import Transfer
from hvd_qgenx.transport import Transport


class HierarchicalSum(ConcreteExchange):
    """The sums of ``integer-sum``, added over the ranks of each host first, so that the network carries one vector a
    host.

    Rank l of a host owns the l-th share of a slice. It adds that of its host's ranks; ranks of one number exchange
    their sums between hosts, as ``integer-sum`` does; and the totals are gathered inside each host. Every coordinate is
    rounded once, by its rank.

    Raises:
        ConfigurationError: hosts hold different numbers of ranks, or their ranks cannot form groups.
    """

    reduction = "sum"
    needs_hosts = True

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        local, across = two_levels(transport, "hierarchical-sum")
        self.local = local.ordered(transport.unique("exchange.local"))
        self.across = across.ordered(transport.unique("exchange.across"))

    @classmethod
    def check(cls, compressor: Compressor) -> None:
        super().check(compressor)
        if not isinstance(compressor, IntegerCompressor | CodedIntegers) or compressor.measures:
            raise ConfigurationError(f"sums of {compressor.name} cannot be added in two steps; use integer-sum")

    @classmethod
    def suits(cls, compressor: Compressor) -> bool:
        return isinstance(compressor, IntegerCompressor | CodedIntegers) and not compressor.measures

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        compressor, local, across = transfer.summed, self.local, self.across
        assert isinstance(compressor, IntegerCompressor | CodedIntegers)
        if not compressor.ready:
            yield from average(self.transport, transfer, start, stop, name)
            return
        bounds = transfer.codec.cut(start, stop, local.size)
        first, last = bounds[local.rank : local.rank + 2]

        payload, sizes = transfer.encode(bounds)
        expected = [sizes[local.rank]] * local.size if transfer.codec.exact_size else None
        payloads = yield inside_host(local.all_to_all(payload, sizes, f"{name}.host", expected))

        parts = transfer.codec.cut(first, last, across.size)
        with transfer.report.clock("decode"):
            host = compressor.sum_of(payloads, last - first)
            sums = [Sum(host.integers[lo - first : hi - first], host.finite) for lo, hi in pairwise(parts)]
            messages = [compressor.write_sum(each) for each in sums]
        received = yield across.all_to_all(torch.cat(messages), list(map(len, messages)), f"{name}.scatter")

        lo, hi = parts[across.rank : across.rank + 2]
        with transfer.report.clock("decode"):
            total = compressor.read_sum(received[0], hi - lo)
            for message in received[1:]:
                total = total.add(compressor.read_sum(message, hi - lo))
            mine = compressor.write_sum(total)
        received = yield across.all_gather(mine, None, f"{name}.gather")

        with transfer.report.clock("decode"):
            found = [
                compressor.read_sum(each, hi - lo) for each, (lo, hi) in zip(received, pairwise(parts), strict=True)
            ]
            share = Sum(torch.cat([each.integers for each in found]), all(each.finite for each in found))
            message = compressor.write_sum(share)
        shares = yield inside_host(local.all_gather(message, None, f"{name}.share"))
        for message, (lo, hi) in zip(shares, pairwise(bounds), strict=True):
            transfer.put_sum(message, lo, hi)

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """Every rank adds and packs its share of its host's sum, and exchanges that with the other hosts.

        4 d / E + 8 d / D                within each host, all-to-all of P/L, all-gather of S/L, S = P + d log2(K) / 8;
        4 d / L (1/E + 2/D)              between hosts, all-to-all of S/K, all-gather of S/K
        """
        if ranks.per_host == 1:
            return IntegerSum.slice_cost(machine, ranks, numel, codec)
        hosts, inside = Ranks(ranks.hosts), Ranks(1, ranks.per_host)
        own = numel / ranks.per_host
        work = codec.encode_seconds(numel + own) + codec.decode_seconds(2 * numel + 2 * own)
        payload = codec.payload_bytes(numel)
        total = payload + numel * (ranks.total - 1).bit_length() / 8
        wire = (
            all_to_all(machine, inside, payload / ranks.per_host)
            + all_to_all(machine, hosts, total / ranks.total)
            + all_gather(machine, hosts, total / ranks.total)
            + all_gather(machine, inside, total / ranks.per_host)
        )
        return SliceCost(work, wire, 4 * machine.negotiation)
