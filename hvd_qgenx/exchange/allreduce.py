"""One all-reduce of summable payloads."""

import torch

from hvd_qgenx.exchange.base import Exchange
from hvd_qgenx.exchange.conveyor import Journey
from hvd_qgenx.exchange.shipment import Shipment


class AllReduce(Exchange):
    """Adds payloads on the way: sends 2 (K - 1) / K payloads, whatever the number of ranks K."""

    adds_payloads = True

    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        payload = shipment.encode_summable(start, stop)
        mean = yield self.transport.all_reduce_mean(payload, name)
        shipment.deliver(mean.view(torch.uint8), start, stop)
