"""Subtractive dither."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.kernels.layout import Layout
from compressors.kernels.strata import Strata
from compressors.quantizer import BucketQuantizer
from compressors.registry import register
from compressors.rounding import RANDOM, GridRounding, rounding_parameter

if TYPE_CHECKING:
    from torch import Tensor

KEY = struct.Struct("<Q")
"""A payload's random key on the wire."""
STRATA = struct.Struct("<QHH")
"""How its random numbers are correlated: key, rank, and number of ranks, of which 0 stands for not at all."""


@dataclass(eq=False)
class SeededQuantizer(BucketQuantizer):
    """A quantizer whose decoder draws the encoder's random numbers again. Preamble: their key, 8 bytes."""

    @property
    def preamble_bytes(self) -> int:
        return KEY.size

    def preamble(self, key: int, strata: Strata | None) -> bytes:
        return KEY.pack(key)

    def constant_preamble(self) -> bytes | None:
        return None

    def read_preamble(self, preamble: bytes) -> tuple[int, Strata | None]:
        return KEY.unpack(preamble)[0], None


@dataclass(eq=False)
class DitheredQuantizer(GridRounding, SeededQuantizer):
    """Rounding with noise that the receiver subtracts, which several ranks can correlate.

    That cancels errors where a coordinate of ranks differs by far less than a step. Elsewhere it gains nothing, and
    may even lose: errors of coordinates that differ by half a step add up. Hence it is not the default. It costs 12
    bytes, for key, rank and number of ranks.
    """

    rounding: str = rounding_parameter(RANDOM)

    @property
    def preamble_bytes(self) -> int:
        return KEY.size + (STRATA.size if self.correlated and self.ranks > 1 else 0)

    def preamble(self, key: int, strata: Strata | None) -> bytes:
        if self.preamble_bytes == KEY.size:
            return KEY.pack(key)
        return KEY.pack(key) + STRATA.pack(*(strata or (0, 0, 0)))

    def read_preamble(self, preamble: bytes) -> tuple[int, Strata | None]:
        key: int = KEY.unpack(preamble[: KEY.size])[0]
        if len(preamble) == KEY.size:
            return key, None
        strata = Strata(*STRATA.unpack(preamble[KEY.size :]))
        if strata.rank >= max(1, strata.ranks):
            raise ValueError(f"{self.name}: the payload is of rank {strata.rank} of {strata.ranks}")
        return key, strata if strata.ranks else None


@register("dither")
@dataclass(eq=False)
class Dither(DitheredQuantizer):
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
