"""One all-reduce of summable payloads."""

from torch import Tensor

from compressors import Compressor, Context
from hvd_qgenx.exchange.base import Encoder, Exchange, Pending, Report


class AllReduce(Exchange):
    """Adds payloads on the way: sends 2 (K - 1) / K payloads, whatever the number of ranks K."""

    adds_payloads = True

    def start(
        self, vector: Tensor, compressor: Compressor, name: str, measure: bool = False, own: bool = False
    ) -> Pending:
        self.check(compressor)
        report = Report()
        encode = Encoder(compressor, report, measure, own)
        payload = encode(vector)
        work = self.transport.all_reduce_mean(payload, name)

        def wait() -> Tensor:
            mean = report.wait(work)
            with report.clock("decode"):
                return compressor.decompress(mean, Context(vector.shape, vector.dtype))

        return Pending(wait, report, encode.own)
