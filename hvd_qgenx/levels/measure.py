"""Costs of compressors on given gradients: the error, and the bits of a coordinate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compressors import BucketQuantizer, Coded, Compressor, IntegerCompressor
from compressors.coding import expected


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
    vector = torch.cat([tensor.flatten() for tensor in tensors])
    compressor.lay_out([tensor.shape for tensor in tensors])
    if compressor.learner is not None:
        compressor.learner.apply(compressor.learner.fit([compressor.learner.observe(vector)]))
    if isinstance(compressor, IntegerCompressor):
        compressor.fit(vector)
    errors = []
    for _ in range(draws):
        payload, context = compressor.compress(vector)
        errors.append(float((compressor.decompress(payload, context) - vector).double().square().sum()))
    size = len(vector)
    huffman = entropy = None
    if isinstance(compressor, BucketQuantizer):
        huffman = 8 * Coded(compressor, "huffman").compress(vector)[0].nbytes / size
        entropy = _entropy(compressor, payload, size)
    error = float(np.mean(errors)) / float(vector.double().square().sum())
    return Cost(error, 8 * payload.nbytes / size, huffman, entropy)


def _entropy(compressor: BucketQuantizer, payload: Tensor, size: int) -> float:
    head, symbols = compressor.split(payload, size)
    center = compressor.center
    levels = symbols.long() if center is None else (symbols.long() - center).abs()
    shares = torch.bincount(levels).double().numpy() / len(levels)
    signs = expected.sign_bits(shares) if center is not None else 0.0
    return (8 * head.nbytes + len(symbols) * (expected.entropy(shares) + signs)) / size
