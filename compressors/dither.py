"""Subtractive dither."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from compressors.kernels.layout import Layout
from compressors.quantizer import BucketQuantizer
from compressors.registry import register

if TYPE_CHECKING:
    from torch import Tensor

KEY = struct.Struct("<Q")
"""A payload's random key on the wire."""


@dataclass(eq=False)
class SeededQuantizer(BucketQuantizer):
    """A quantizer whose decoder draws the encoder's random numbers again. Preamble: their key, 8 bytes."""

    preamble_bytes: ClassVar[int] = KEY.size

    def preamble(self, key: int) -> bytes:
        return KEY.pack(key)

    def read_preamble(self, preamble: bytes) -> int:
        key: int = KEY.unpack(preamble)[0]
        return key


@register("dither")
@dataclass(eq=False)
class Dither(SeededQuantizer):
    """2^bits values evenly spaced from -max to max, rounded with noise that the receiver subtracts.

    The error is uniform over one step whatever the coordinate: step^2 / 12, where stochastic
    rounding has up to step^2 / 4, and never less. Zeros do not stay zero. Source: Roberts (1962);
    Gray and Stockham, "Dithered quantizers" (1993). Header: one float32 per bucket.
    """

    @property
    def layout(self) -> Layout:
        return even_layout(self.bits, self.bucket_size)

    def bucket_bound(self, bucket: Tensor) -> float:
        """The variance itself: d / 12 u^2 with the step u = 2 max / (2^bits - 1)."""
        if not len(bucket):
            return 0.0
        unit = 2 * float(bucket.abs().max()) / self.layout.levels
        return len(bucket) / 12 * unit**2


def even_layout(bits: int, bucket_size: int) -> Layout:
    """Returns the layout of 2^bits dithered values from -max to max."""
    steps = 2**bits - 1
    return Layout(bits, bucket_size, levels=steps, offset=steps / 2, norm="linf", dithered=True)
