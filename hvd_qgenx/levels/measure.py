"""Costs of compressors on given gradients: the error, and the bits of a coordinate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compressors import BucketQuantizer, Coded, Compressor, IntegerCompressor
from compressors.coding import expected
from hvd_qgenx.exchange.registry import make
from hvd_qgenx.transport import inprocess


@dataclass(frozen=True)
class Cost:
    """The cost of one compressor on one vector. Bits are bits of the whole payload over the coordinates."""

    error: float
    """||Q(x) - x||^2 / ||x||^2, the mean of some draws."""
    bits: float
    """Symbols of a fixed width, as the compressor sends them."""
    huffman: float | None
    """With Huffman's code; None without symbols."""
    entropy: float | None
    """Lower bound for any code of single levels: their entropy, signs, and the rest as it is; None without symbols."""

    @property
    def bound(self) -> float:
        """2^(-2 R) at R = ``bits``: no code for a Gaussian vector of equal variances does better."""
        return float(2 ** (-2 * self.bits))


def measure(compressor: Compressor, tensors: Sequence[Tensor], draws: int = 3) -> Cost:
    """Compresses the tensors laid end to end, as a run does; a compressor that learns does so first.

    Args:
        compressor: its state changes.
        tensors: not all zero.
        draws: compressions that the error is averaged over.
    """
    return measure_mean(compressor, [tensors], draws)


def measure_mean(
    compressor: Compressor, ranks: Sequence[Sequence[Tensor]], draws: int = 3, exchange: str = "allgather"
) -> Cost:
    """Measures the mean over ranks of vectors that are compressed and exchanged as in a run.

    Args:
        compressor: copies of it are used, but by a single rank, which changes its state.
        ranks: every rank's tensors, of the same shapes; their mean is not all zero.
        draws: compressions that the error is averaged over.
        exchange: how the mean is made, if it is not that of vectors which every rank compresses once.

    Raises:
        ConfigurationError: that exchange cannot carry the compressor's payloads.
    """
    vectors = [torch.cat([tensor.flatten() for tensor in tensors]) for tensors in ranks]
    mean = torch.zeros_like(vectors[0], dtype=torch.float64)
    for vector in vectors:
        mean += vector
    mean /= len(vectors)
    alone = len(ranks) == 1
    everyone = [compressor] if alone else [compressor.for_rank(rank, ranks=len(ranks)) for rank in range(len(ranks))]
    for one in everyone:
        one.lay_out([tensor.shape for tensor in ranks[0]])
        if one.learner is not None:
            one.learner.apply(one.learner.fit([one.learner.observe(vector) for vector in vectors]))
        if isinstance(one, IntegerCompressor):
            one.fit(vectors[0] if alone else mean.float())
    errors = []
    for _ in range(draws):
        decoded = torch.zeros_like(mean)
        for one, vector in zip(everyone, vectors, strict=True):
            payload, context = one.compress(vector)
            decoded += one.decompress(payload, context).double() / len(ranks)
        if exchange != "allgather":
            decoded = _exchanged(everyone, vectors, exchange).double()
        errors.append(float((decoded - mean).square().sum()))
    size = len(mean)
    huffman = entropy = None
    if isinstance(one, BucketQuantizer):
        entropy = _entropy(one, payload, size)
        huffman = 8 * Coded(one, "huffman").compress(vector)[0].nbytes / size
    return Cost(float(np.mean(errors)) / float(mean.square().sum()), 8 * payload.nbytes / size, huffman, entropy)


def _exchanged(everyone: Sequence[Compressor], vectors: Sequence[Tensor], exchange: str) -> Tensor:
    """Returns the mean over ranks that an exchange makes, by threads of this process."""

    def mean(ranks: inprocess.InProcess) -> Tensor:
        return make(exchange, ranks).mean(vectors[ranks.rank], everyone[ranks.rank], "vector")

    return inprocess.run(len(vectors), mean)[0]


def _entropy(compressor: BucketQuantizer, payload: Tensor, size: int) -> float:
    head, symbols = compressor.split(payload, size)
    center = compressor.center
    levels = symbols.long() if center is None else (symbols.long() - center).abs()
    shares = torch.bincount(levels).double().numpy() / len(levels)
    signs = expected.sign_bits(shares) if center is not None else 0.0
    return (8 * head.nbytes + len(symbols) * (expected.entropy(shares) + signs)) / size
