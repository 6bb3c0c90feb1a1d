"""Quantizers of randomly rotated blocks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.base import Shape, numel
from compressors.deferred import Deferred
from compressors.dither import DitheredQuantizer, SeededQuantizer, even_layout
from compressors.kernels.blocks import SHORTEST, padded
from compressors.kernels.layout import Layout
from compressors.parameters import parameter
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors import lloyd_max
else:
    lloyd_max = Deferred("compressors.lloyd_max")

LENGTHS = (SHORTEST, 512, 1024, 2048, 4096, 8192)
"""Lengths of blocks. In shorter ones rotated coordinates are not Gaussian enough for Lloyd-Max points: at 64 a squared
bias of 6 % of the squared error was seen on heavy tails, at 256 of 0.4 %, at 1024 of 0.01 %."""

RESIDUAL_BIAS = 0.01


@dataclass(eq=False)
class RotatedQuantizer(SeededQuantizer):
    """Quantizes every bucket in a random basis, in which any vector looks Gaussian.

    The basis: random signs and a Hadamard transform, twice; once would leave a vector of two spikes
    with four different values. The last bucket is filled with zeros to a power of two of at
    least 256 coordinates. Source: Ailon and Chazelle (2009); Suresh et al. (ICML 2017).
    """

    rotates = True

    bucket_size: int = parameter(1024, "Coordinates rotated together.", choices=LENGTHS)

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The wire format of the rotated coordinates."""

    def kernels_for(self, device: torch.device) -> tuple[Callable[..., None], Callable[..., None]]:
        kernel = kernels.for_device(device)
        return kernel.encode_rotated, kernel.decode_rotated

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return super().payload_bytes(padded(numel(shape), self.bucket_size))

    def symbol_count(self, numel: int) -> int:
        return padded(numel, self.bucket_size)


@register("rotated")
@dataclass(eq=False)
class Rotated(RotatedQuantizer):
    """The nearest of 2^bits Lloyd-Max points, scaled to keep the inner product with the vector.

    That scale makes it unbiased where the rotated coordinates are Gaussian; in blocks of 256 and more
    the squared bias is below a hundredth of the squared error, in longer ones far below. Least
    error of all at a fixed width. Source: Vargaftik et al., "DRIVE" (NeurIPS 2021) and "EDEN" (ICML
    2022). Header: the scale of every bucket.
    """

    residual_bias = RESIDUAL_BIAS

    @property
    def layout(self) -> Layout:
        return projection_layout(self.bits, self.bucket_size)

    def bucket_bound(self, bucket: Tensor) -> float:
        """||x||^2 (1 / (1 - D) - 1), D being Lloyd-Max's distortion, and 5 % for what blocks lack of Gaussian."""
        return 1.05 * relative_error(self.bits) * float(bucket.square().sum())


@register("rotated-dither")
@dataclass(eq=False)
class RotatedDither(RotatedQuantizer, DitheredQuantizer):
    """Subtractive dither in a random basis: exactly unbiased, and no outlier widens the step.

    Header: the step of every bucket.
    """

    @property
    def layout(self) -> Layout:
        return even_layout(self.bits, self.bucket_size)

    def bucket_bound(self, bucket: Tensor) -> float:
        """2 (ln(2 m) + 1) / (3 (2^bits - 1)^2) ||x||^2, m being the length of the block.

        The rotated coordinates are sub-Gaussian with variance ||x||^2 / m (Hoeffding), so their
        largest square is at most 2 (ln(2 m) + 1) ||x||^2 / m on average; the error is step^2 / 12
        in each of m coordinates, with a step of 2 max / (2^bits - 1).
        """
        block = padded(len(bucket), self.bucket_size)
        widest = 2 * (math.log(2 * block) + 1) if block else 0.0
        return widest / 3 / self.layout.levels**2 * float(bucket.square().sum())


def projection_layout(bits: int, bucket_size: int) -> Layout:
    """Returns the layout of 2^bits Lloyd-Max points and a scale that keeps the inner product."""
    steps = 2**bits - 1
    points = lloyd_max.codebook(bits).points
    return Layout(bits, bucket_size, levels=steps, offset=steps / 2, norm="projection", points=points)


def relative_error(bits: int) -> float:
    """Returns E||Q(x) - x||^2 / ||x||^2 of ``Rotated``, in the limit of long blocks.

    With y the rotated block, q its points and s = ||y||^2 / <y, q>: ||s q - y||^2 / ||y||^2 =
    ||y||^2 ||q||^2 / <y, q>^2 - 1, where ||q||^2 = <y, q> = (1 - D) ||y||^2 since points are the means of their cells.
    """
    kept = 1 - lloyd_max.codebook(bits).distortion
    return 1 / kept - 1
