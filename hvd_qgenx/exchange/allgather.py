"""One all-gather of payloads: the protocol of the Q-GenX paper."""

from hvd_qgenx.exchange.base import PayloadExchange
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_gather
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer


class AllGather(PayloadExchange):
    """Every rank decodes every payload: each vector is quantized once; sends K - 1 payloads."""

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        payload, sizes = transfer.encode([start, stop])
        known = sizes * self.channel.size if transfer.codec.exact_size else None
        payloads = yield self.channel.all_gather(payload, known, name)
        transfer.put_average(payloads, start, stop)

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """Every rank decodes all payloads.

        4 d / E + 4 K d / D              all-gather of P
        """
        work = codec.encode_seconds(numel) + codec.decode_seconds(ranks.total * numel)
        wire = all_gather(machine, ranks, codec.payload_bytes(numel))
        return SliceCost(work, wire, machine.negotiation)
