"""Compressed scatter-reduce, then compressed all-gather."""

from itertools import pairwise

from hvd_qgenx.exchange.base import PayloadExchange
from hvd_qgenx.exchange.conveyor import Journey
from hvd_qgenx.exchange.shipment import Shipment


class TwoPhase(PayloadExchange):
    """Rank k owns the k-th chunk of a slice: all send it their payload of that chunk, it decodes and
    averages them, compresses the mean and sends it to all.

    Sends 2 (K - 1) / K payloads, whatever the number of ranks K; quantizes twice, which is still
    unbiased. The owner too takes the decoded mean, so all ranks agree. Source of the scheme:
    Alistarh et al. (QSGD) and Markov et al. (CGX), there called scatter-reduce-all-gather.
    """

    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        transport, codec = self.carrier, shipment.codec
        bounds = codec.cut(start, stop, transport.size)
        first, last = bounds[transport.rank : transport.rank + 2]

        payload, sizes = shipment.encode(bounds)
        expected = [sizes[transport.rank]] * transport.size if codec.exact_size else None
        payloads = yield transport.all_to_all(payload, sizes, f"{name}.scatter", expected)

        mean = shipment.encode_mean(shipment.average(payloads, first, last), first)
        payloads = yield transport.all_gather(mean, sizes if codec.exact_size else None, f"{name}.gather")

        for payload, (first, last) in zip(payloads, pairwise(bounds), strict=True):
            shipment.deliver(payload, first, last)
