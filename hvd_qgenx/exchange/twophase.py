"""Compressed scatter-reduce, then compressed all-gather."""

import itertools

import torch
from torch import Tensor

from compressors import Compressor, Context
from hvd_qgenx.exchange.base import Encoder, Exchange, Pending, Report, as_bytes, decode_mean


class TwoPhase(Exchange):
    """Rank k owns the k-th chunk: all send it their payload of that chunk, it decodes and averages
    them, compresses the mean and sends it to all.

    Sends 2 (K - 1) / K payloads, whatever the number of ranks K; quantizes twice, which is still
    unbiased. The owner too takes the decoded mean, so all ranks agree. Source of the scheme:
    Alistarh et al. (QSGD) and Markov et al. (CGX), there called scatter-reduce-all-gather.
    """

    def start(
        self, vector: Tensor, compressor: Compressor, name: str, measure: bool = False, own: bool = False
    ) -> Pending:
        report = Report()
        rank = self.transport.rank
        chunks = cut(vector, self.transport.size, compressor.alignment)
        starts = list(itertools.accumulate((len(chunk) for chunk in chunks), initial=0))
        encode = Encoder(compressor, report, measure, own)
        payloads = [encode(chunk, start) for chunk, start in zip(chunks, starts, strict=False)]
        dtype = payloads[0].dtype
        work = self.transport.all_to_all([as_bytes(payload) for payload in payloads], f"{name}.scatter")

        def wait() -> Tensor:
            received = [part.view(dtype) for part in report.wait(work)]
            contexts = [Context(chunk.shape, chunk.dtype) for chunk in chunks]
            with report.clock("decode"):
                mean = decode_mean(compressor, received, contexts[rank])
            payload = Encoder(compressor, report)(mean, starts[rank])
            sizes = [compressor.payload_bytes(len(chunk), chunk.dtype) for chunk in chunks]
            gather = self.transport.all_gather(
                as_bytes(payload), sizes if compressor.exact_size else None, f"{name}.gather"
            )
            gathered = report.wait(gather)
            with report.clock("decode"):
                parts = zip(gathered, contexts, strict=True)
                return torch.cat([compressor.decompress(part.view(dtype), context) for part, context in parts])

        return Pending(wait, report, encode.own)


def cut(vector: Tensor, parts: int, alignment: int) -> list[Tensor]:
    """``parts`` views of nearly equal length, cut at multiples of ``alignment``; the last may be empty."""
    units = -(-len(vector) // alignment)
    ends = [min(len(vector), alignment * (units * k // parts)) for k in range(1, parts)]
    return list(torch.tensor_split(vector, ends))
