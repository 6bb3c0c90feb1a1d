"""One all-reduce of payloads that are averaged as floats."""

from hvd_qgenx.exchange.base import ConcreteExchange
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks, SliceCost, all_reduce
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer


class AllReduce(ConcreteExchange):
    """Adds payloads on the way: sends 2 (K - 1) / K payloads, whatever the number of ranks K.

    Nothing is coded meanwhile, so slices only let backward go on; they are longer than those of other exchanges.
    """

    reduction = "average"
    negotiates = True
    slice_factor = 32

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        payload, place = transfer.encode_summable(start, stop)
        mean = yield self.transport.all_reduce_mean(payload, name, place)
        transfer.put_mean(mean, start, stop)

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """The payload is encoded once, and its sum is decoded once.

        4 d / E + 4 d / D                all-reduce of P
        """
        work = codec.encode_seconds(numel) + codec.decode_seconds(numel)
        wire = all_reduce(machine, ranks, codec.payload_bytes(numel))
        return SliceCost(work, wire, machine.negotiation)
