"""Integers that Horovod's own all-reduce adds, as int32."""

import torch

from compressors import Compressor
from compressors.integers import Sum
from hvd_qgenx.exchange.base import ConcreteExchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.cost import FLOAT_BYTES, CodecSpeed, Machine, Ranks, SliceCost, all_reduce
from hvd_qgenx.exchange.integersum import agree, average, summed_slices
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.transfer import Transfer


class IntegerAllReduce(ConcreteExchange):
    """Adds integers in 32 bits, by the all-reduce of the transport: the sums of ``integer-sum``, at the bytes of fp32.

    For comparison. Narrower integers cannot be added so: some MPI libraries saturate them.
    """

    reduction = "sum"
    negotiates = True

    @classmethod
    def suits(cls, compressor: Compressor) -> bool:
        """Returns False: it is never the best."""
        return False

    def slices(self, codec: Codec) -> list[int]:
        return summed_slices(codec, super().slices(codec))

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        compressor = transfer.summed
        yield from agree(self.transport, transfer, start, stop, name)
        if not compressor.ready:
            yield from average(self.transport, transfer, start, stop, name)
            return
        payload, _ = transfer.encode([start, stop])
        own = compressor.sum_of([payload], stop - start)
        bad = own.integers.new_tensor([not own.finite])
        total = yield self.transport.all_reduce_sum(torch.cat([own.integers, bad]), name)
        transfer.put_sum(compressor.write_sum(Sum(total[:-1], not bool(total[-1]))), start, stop)

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """A rank encodes its vector, unpacks it, and decodes the sum.

        4 d / E + 8 d / D                all-reduce of 4 d
        """
        work = codec.encode_seconds(numel) + codec.decode_seconds(2 * numel)
        return SliceCost(work, all_reduce(machine, ranks, FLOAT_BYTES * numel), machine.negotiation)
