"""Signs at the mean magnitude."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.deferred import Deferred
from compressors.kernels.layout import Layout
from compressors.quantizer import BucketQuantizer
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.kernels import blocks
else:
    torch = Deferred("torch")
    blocks = Deferred("compressors.kernels.blocks")


@register("sign")
@dataclasses.dataclass(eq=False)
class Sign(BucketQuantizer):
    """The sign of every coordinate times the mean magnitude of its bucket; zero counts as positive.

    Of all values with these signs it has the least error. Deterministic and biased: for error feedback. With one
    bucket for every tensor it is the scaled sign of Karimireddy et al., "Error Feedback Fixes SignSGD" (ICML 2019).

    Header: one float32 per bucket, twice the mean magnitude.
    """

    unbiased = False
    stochastic = False

    bits: int = dataclasses.field(default=1, init=False)

    @property
    def layout(self) -> Layout:
        return Layout(self.bits, self.bucket_size, levels=1, offset=0.5, norm="l1")

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        if not len(vector):
            return 0
        steps = [
            2 * rows.float().abs().mean(dim=1)
            for _, rows in blocks.block_rows(kernels.readable(vector), self.bucket_size)
        ]
        header = torch.cat(steps)
        header = torch.where(header.isfinite(), header, torch.nan).view(torch.uint8)
        payload[: len(header)] = header
        codes = (vector >= 0).to(torch.uint8)
        payload[len(header) :] = kernels.for_device(vector.device).pack(codes, self.layout)
        return len(payload)

    def bucket_bound(self, bucket: Tensor) -> float:
        """The error itself: ||x||_2^2 - ||x||_1^2 / d."""
        if not len(bucket):
            return 0.0
        return max(0.0, float(bucket.square().sum() - bucket.abs().sum().square() / len(bucket)))
