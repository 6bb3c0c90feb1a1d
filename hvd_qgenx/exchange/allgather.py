"""One all-gather of payloads: the protocol of the Q-GenX paper."""

from typing import NamedTuple

import torch

from hvd_qgenx.exchange.base import PayloadExchange
from hvd_qgenx.exchange.codec import Codec, Coder
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_gather
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer
from hvd_qgenx.transport.base import Blocks


class Plan(NamedTuple):
    """All of a slice that does not change from exchange to exchange."""

    room: int
    """Bytes of all messages."""
    own: Coder
    blocks: Blocks
    payloads: Coder
    """Decodes the mean of all ranks' payloads."""


class AllGather(PayloadExchange):
    """Every rank decodes every payload: each vector is quantized once; sends K - 1 payloads."""

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        if plan := self.planned(transfer, start, stop):
            messages = transfer.codec.room(plan.room, transfer.vector.device)
            transfer.write(plan.own, messages)
            yield self.channel.exchange_blocks(messages, plan.blocks, name)
            transfer.read(plan.payloads, messages)
            transfer.codec.rooms.append(messages)
            return
        payload, sizes = transfer.encode([start, stop])
        known = sizes * self.channel.size if transfer.codec.exact_size else None
        payloads = yield self.channel.all_gather(payload, known, name)
        transfer.put_average(payloads, start, stop)

    def plan(self, codec: Codec, start: int, stop: int, device: torch.device) -> Plan:
        rank, size = self.channel.rank, codec.payload_bytes(start, stop)
        places = [number * size for number in range(self.channel.size)]
        blocks = [(place, place + size) for place in places]
        own = codec.coder([(start, stop, places[rank : rank + 1])], device)
        payloads = codec.coder([(start, stop, places)], device)
        return Plan(
            len(places) * size, own, Blocks(rank, blocks[rank : rank + 1] * len(blocks), blocks, one=True), payloads
        )

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """Every rank decodes all payloads.

        4 d / E + 4 K d / D              all-gather of P
        """
        work = codec.encode_seconds(numel) + codec.decode_seconds(ranks.total * numel)
        wire = all_gather(machine, ranks, codec.payload_bytes(numel))
        return SliceCost(work, wire, machine.negotiation)
