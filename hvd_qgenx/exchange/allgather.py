"""One all-gather of payloads: the protocol of the Q-GenX paper."""

from torch import Tensor

from compressors import Compressor, Context
from hvd_qgenx.exchange.base import Encoder, Exchange, Pending, Report, as_bytes, decode_mean


class AllGather(Exchange):
    """Every rank decodes every payload: each vector is quantized once; sends K - 1 payloads."""

    def start(
        self, vector: Tensor, compressor: Compressor, name: str, measure: bool = False, own: bool = False
    ) -> Pending:
        report = Report()
        encode = Encoder(compressor, report, measure, own)
        payload = encode(vector)
        sizes = [payload.nbytes] * self.transport.size if compressor.exact_size else None
        work = self.transport.all_gather(as_bytes(payload), sizes, name)

        def wait() -> Tensor:
            payloads = [received.view(payload.dtype) for received in report.wait(work)]
            with report.clock("decode"):
                return decode_mean(compressor, payloads, Context(vector.shape, vector.dtype))

        return Pending(wait, report, encode.own)
