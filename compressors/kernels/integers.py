"""Integers on the wire: the definition of every bit, in plain torch.

Integers of ``bits`` bits, 1 to 32, travel as codes: their sum with an offset. Codes lie in blocks of ``BLOCK``
coordinates (the last may be shorter), packed in planes as ``layout`` says, with nothing before or between them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from compressors.kernels.blocks import block_rows
from compressors.kernels.common import chances, deliver, pack_rows, unpack_rows
from compressors.kernels.layout import packed_bytes, planes
from compressors.kernels.strata import Strata

BLOCK = 1024
"""Coordinates whose codes are packed together; a block with Inf or NaN holds no numbers."""


class Rounded(NamedTuple):
    """Facts about the integers of a vector, its blocks with Inf or NaN aside."""

    largest: int
    """The largest magnitude that was sent."""
    clipped: int
    """Number of coordinates that were beyond the largest magnitude that can be sent."""


def hold_numbers(packed: Tensor, bits: int, most: int, numel: int) -> bool:
    """Tells if no block of ``encode_integers`` stands for Inf or NaN, by the first code of each."""
    full, tail = divmod(numel, BLOCK)
    split = packed_bytes(bits, BLOCK, full * BLOCK)
    for part, count, length in ((packed[:split], full, BLOCK), (packed[split:], 1, tail)):
        if count and length:
            blocks, eighth = part.view(count, -1), -(-length // 8)
            codes = torch.zeros(count, dtype=torch.int64, device=packed.device)
            for width, shift in planes(bits):
                codes |= (blocks[:, eighth * shift].long() & (1 << width) - 1) << shift
            if bool((codes == 2 * most + 1).any()):
                return False
    return True


def encode_integers(
    vector: Tensor, scale: float, bits: int, most: int, key: int | None, packed: Tensor, strata: Strata | None = None
) -> Rounded:
    """Rounds the products of the coordinates with the scale to integers, clipped to ``most``, and packs them.

    The offset is ``most``. In a block with Inf or NaN all codes are 2 ``most`` + 1.

    Args:
        vector: float32, float16 or bfloat16; products are float32's.
        scale: exact in float32.
        bits: width of a code.
        most: exact in float32, at most 2^(bits - 1) - 1.
        key: chooses the random numbers of stochastic rounding; None: to nearest, ties to even.
        packed: uint8, ``packed_bytes(bits, BLOCK, len(vector))`` long.
        strata: correlates the random numbers of ranks.
    """
    largest = clipped = start = 0
    for first, rows in block_rows(vector.float(), BLOCK):
        scaled = rows * scale
        if key is None:
            integers = scaled.round()
        else:
            below = scaled.floor()
            chance = chances(rows.shape, key, first, rows.device, strata)
            integers = below + (chance < scaled - below)
        finite = (rows - rows == 0).all(dim=1, keepdim=True)
        clipped += int(((integers.abs() > most) & finite).sum())
        integers = torch.where(finite, integers.clamp(-most, most), 0)
        largest = max(largest, int(integers.abs().max()))
        codes = torch.where(finite, integers.long() + most, 2 * most + 1)
        start = _put(codes, bits, packed, start)
    return Rounded(largest, clipped)


def add_integers(packed: Tensor, bits: int, most: int, sums: Tensor) -> bool:
    """Adds integers to ``sums`` (int32); returns what ``hold_numbers`` does."""
    sums += (_codes(packed, bits, len(sums)) - most).int()
    return hold_numbers(packed, bits, most, len(sums))


def pack_integers(integers: Tensor, bits: int, offset: int, packed: Tensor) -> None:
    """Packs integers (int32) from -offset to 2^bits - 1 - offset."""
    start = 0
    for _, rows in block_rows(integers, BLOCK):
        start = _put(rows.long() + offset, bits, packed, start)


def decode_integers(packed: Tensor, bits: int, offset: int, factor: float, vector: Tensor, add: bool = False) -> None:
    """Writes the products of integers with a factor (exact in float32) to a vector, or adds them to it.

    The code ``2 * offset + 1`` stands for NaN.
    """
    codes = _codes(packed, bits, len(vector))
    values = (codes - offset).float() * factor
    deliver(torch.where(codes == 2 * offset + 1, torch.nan, values), vector, add)


def _put(codes: Tensor, bits: int, packed: Tensor, start: int) -> int:
    part = pack_rows(codes, bits).flatten()
    packed[start : start + len(part)] = part
    return start + len(part)


def _codes(packed: Tensor, bits: int, numel: int) -> Tensor:
    codes = packed.new_empty(numel, dtype=torch.int64)
    start = 0
    for _, rows in block_rows(codes, BLOCK):
        stop = start + packed_bytes(bits, BLOCK, rows.shape[1]) * len(rows)
        rows.copy_(unpack_rows(packed[start:stop].view(len(rows), -1), bits, rows.shape[1]))
        start = stop
    return codes
