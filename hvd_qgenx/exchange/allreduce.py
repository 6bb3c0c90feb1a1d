"""One all-reduce of summable payloads."""

import torch

from hvd_qgenx.exchange.base import Exchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.conveyor import Journey
from hvd_qgenx.exchange.shipment import Shipment

LONGER = 32


class AllReduce(Exchange):
    """Adds payloads on the way: sends 2 (K - 1) / K payloads, whatever the number of ranks K.

    Nothing is coded meanwhile, so its slices only let backward go on, and are ``LONGER`` times those of others.
    """

    adds_payloads = True

    def slices(self, codec: Codec) -> list[int]:
        return self.cut(codec, LONGER * self.slice_bytes)

    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        payload = shipment.encode_summable(start, stop)
        mean = yield self.transport.all_reduce_mean(payload, name)
        shipment.deliver(mean.view(torch.uint8), start, stop)
