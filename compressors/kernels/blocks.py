"""The blocks of a vector that are rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SHORTEST = 256
"""Coordinates of the shortest block."""


def padded(numel: int, bucket_size: int) -> int:
    """Returns the coordinates after the last block is filled with zeros to a power of two, at least ``SHORTEST``."""
    full, tail = divmod(numel, bucket_size)
    return full * bucket_size + (max(SHORTEST, 1 << (tail - 1).bit_length()) if tail else 0)


def block_rows(blocks: Tensor, bucket_size: int) -> list[tuple[int, Tensor]]:
    """Returns views: the full blocks as a matrix, and the shorter last one; each with the number of its first block."""
    full = len(blocks) // bucket_size
    parts = [
        (0, blocks[: full * bucket_size].view(full, bucket_size)),
        (full, blocks[full * bucket_size :].view(1, -1)),
    ]
    return [(first, rows) for first, rows in parts if rows.numel()]
