"""QSGD's uniform quantizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.deferred import Deferred
from compressors.kernels.layout import ORDERS, Layout
from compressors.parameters import parameter
from compressors.quantizer import StochasticQuantizer
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


@register("uniform")
@dataclass(eq=False)
class Uniform(StochasticQuantizer):
    """Signed multiples of norm / s with s = 2^(bits-1) - 1 levels each side; zero stays zero.

    Source: Alistarh et al., "QSGD" (NeurIPS 2017), section 3.1, with one norm per bucket.
    Header: one float32 per bucket.
    """

    bits: int = parameter(4, "Bits per coordinate.", low=2, high=8)
    norm: str = parameter("l2", "Norm of a bucket: l2 (QSGD), linf or l1.", choices=tuple(ORDERS))

    @property
    def layout(self) -> Layout:
        s = 2 ** (self.bits - 1) - 1
        return Layout(self.bits, self.bucket_size, levels=2 * s, offset=s, norm=self.norm)

    def bucket_bound(self, bucket: Tensor) -> float:
        """min(d / 4 u^2, u ||x||_1) with the grid step u = norm / s.

        A coordinate between two levels has variance at most u^2 / 4 and at most u |x|. For L2,
        ||x||_1 <= sqrt(d) ||x||_2 gives QSGD's min(d / s^2, sqrt(d) / s) ||x||^2.
        """
        unit = float(torch.linalg.vector_norm(bucket, ORDERS[self.norm])) / self.layout.offset
        return min(len(bucket) / 4 * unit**2, unit * float(bucket.abs().sum()))
