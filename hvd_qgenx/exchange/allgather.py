"""One all-gather of payloads: the protocol of the Q-GenX paper."""

from hvd_qgenx.exchange.base import PayloadExchange
from hvd_qgenx.exchange.conveyor import Journey
from hvd_qgenx.exchange.shipment import Shipment


class AllGather(PayloadExchange):
    """Every rank decodes every payload: each vector is quantized once; sends K - 1 payloads."""

    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        payload, sizes = shipment.encode([start, stop])
        known = sizes * self.carrier.size if shipment.codec.exact_size else None
        payloads = yield self.carrier.all_gather(payload, known, name)
        shipment.deliver_average(payloads, start, stop)
