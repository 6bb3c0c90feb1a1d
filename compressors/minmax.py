"""The min-max uniform quantizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.kernels.layout import Layout
from compressors.quantizer import StochasticQuantizer
from compressors.registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("minmax")
@dataclass(eq=False)
class MinMax(StochasticQuantizer):
    """2^bits values evenly spaced from the least to the greatest of a bucket (UQ4, UQ8).

    Source: Markov et al., "CGX" (Middleware 2022); used for the experiments of Q-GenX.
    Header: two float32 per bucket.
    """

    @property
    def layout(self) -> Layout:
        return Layout(self.bits, self.bucket_size, levels=2**self.bits - 1, offset=0, norm="range")

    def bucket_bound(self, bucket: Tensor) -> float:
        """d / 4 u^2 with the grid step u = (max - min) / (2^bits - 1)."""
        if not len(bucket):
            return 0.0
        unit = float(bucket.max() - bucket.min()) / self.layout.levels
        return len(bucket) / 4 * unit**2
