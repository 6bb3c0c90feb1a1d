"""Signed powers of two on the wire: the definition of every bit, in plain torch.

A code of ``bits`` bits holds an exponent and above it a sign. Exponent 0 is the number zero, the largest exponent
stands for Inf and NaN, and the others are consecutive powers of two: with 9 bits those of float32's normal numbers,
2^-126 to 2^127, with 8 bits 2^-93 to 2^32. Codes lie in blocks of ``BLOCK`` coordinates (the last may be shorter),
packed in planes as ``layout`` says: the exponents are a plane of bytes, and at 9 bits the signs are a plane of bits.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from compressors.kernels.blocks import block_rows
from compressors.kernels.common import chances, deliver, pack_rows, unpack_rows
from compressors.kernels.layout import packed_bytes
from compressors.kernels.strata import Strata

BLOCK = 1024
"""Coordinates whose codes are packed together and whose random numbers have one key."""


class Window(NamedTuple):
    """The powers of two that codes of one width can hold."""

    bits: int

    @property
    def marker(self) -> int:
        """The exponent that stands for Inf and NaN."""
        return (1 << self.bits - 1) - 1

    @property
    def scale(self) -> float:
        """Factor on magnitudes, a power of two, that makes ``least`` the smallest normal number of float32."""
        return 2.0**-126 / self.least

    @property
    def least(self) -> float:
        """The smallest magnitude beside zero."""
        return 2.0**-126 if self.bits == 9 else 2.0**-93

    @property
    def greatest(self) -> float:
        return self.least * 2.0 ** (self.marker - 2)


def encode_natural(vector: Tensor, bits: int, key: int, packed: Tensor, strata: Strata | None = None) -> None:
    """Rounds magnitudes at random to one of the two neighbouring powers of two, and packs their codes.

    A magnitude goes up with a probability equal to its mantissa over 2^23: the sum of its bits and of 23 random ones
    carries into the exponent so often. Below the window the same happens to denormal numbers.

    Args:
        vector: float32, float16 or bfloat16.
        bits: 8 or 9.
        key: chooses the random numbers.
        packed: uint8, ``packed_bytes(bits, BLOCK, len(vector))`` long.
        strata: correlates the random numbers of ranks.
    """
    window, start = Window(bits), 0
    for first, rows in block_rows(vector.float(), BLOCK):
        words = (rows.abs() * window.scale).view(torch.int32).long()
        random = (chances(rows.shape, key, first, rows.device, strata) * 2**23).long().clamp(max=2**23 - 1)
        if strata is not None:  # small numbers are to make values small, not magnitudes
            random = torch.where(torch.signbit(rows), random, 2**23 - 1 - random)
        exponents = (words + random >> 23).clamp(max=window.marker - 1)
        exponents = torch.where(rows - rows == 0, exponents, window.marker)
        part = pack_rows(exponents | torch.signbit(rows).long() << bits - 1, bits).flatten()
        packed[start : start + len(part)] = part
        start += len(part)


def decode_natural(packed: Tensor, bits: int, vector: Tensor, add: bool = False) -> None:
    """Writes powers of two to a vector, or adds them to it; Inf and NaN are NaN."""
    window, start = Window(bits), 0
    values = torch.empty_like(vector, dtype=torch.float32)
    for _, rows in block_rows(values, BLOCK):
        stop = start + packed_bytes(bits, BLOCK, rows.shape[1]) * len(rows)
        codes = unpack_rows(packed[start:stop].view(len(rows), -1), bits, rows.shape[1])
        exponents = codes & window.marker
        powers = (exponents << 23).int().view(torch.float32) * (1 / window.scale)
        signed = torch.where(codes > window.marker, -powers, powers)
        rows.copy_(torch.where(exponents == window.marker, torch.nan, signed))
        start = stop
    deliver(values, vector, add)
