"""The buckets of a payload that have widths of their own, and what encodes them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from compressors.allocation import WIDEST
from compressors.deferred import Deferred
from compressors.kernels.layout import Layout
from compressors.rotated import projection_layout
from compressors.short_scales import body_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = Deferred("numpy")

NOT_FINITE = 15
"""Marks, in place of a width, a bucket that holds Inf or NaN."""


class Passes(NamedTuple):
    """The widths of the buckets, and what encodes them."""

    first: NDArray[np.int64]
    """(count,) at most ``WIDEST``, or ``NOT_FINITE``."""
    body: Tensor
    refined: NDArray[np.bool_]
    """(count,) has a bucket more bits?"""
    second: NDArray[np.int64]
    """How many more, of those that have."""
    rest: Tensor
    """The rest of the payload, for them."""


def split(widths: NDArray[np.int64], length: int, body: Tensor, scale_bytes: int) -> Passes:
    """Returns what encodes the buckets of these widths and this length, in the body of a payload."""
    again = refined(widths)
    first = np.where(again, WIDEST, widths)
    stop = body_bytes(first, length, scale_bytes) if again.any() else len(body)
    return Passes(first, body[:stop], again, widths[again] - WIDEST, body[stop:])


def refined(widths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks the buckets that are quantized twice."""
    marks: NDArray[np.bool_] = (widths > WIDEST) & (widths != NOT_FINITE)
    return marks


@lru_cache
def layouts(length: int) -> list[Layout]:
    """Returns the layouts of buckets of this length, by width from 1 on."""
    return [projection_layout(width, length) for width in range(1, WIDEST + 1)]


def pack_widths(widths: NDArray[np.int64]) -> bytes:
    """Returns the widths, two in a byte."""
    even = np.append(widths, 0)[: (len(widths) + 1) // 2 * 2].astype(np.uint8)
    return (even[::2] | even[1::2] << 4).tobytes()


def unpack_widths(packed: bytes, count: int) -> NDArray[np.int64]:
    """Returns ``count`` widths from the bytes of ``pack_widths``."""
    both = np.frombuffer(packed, np.uint8)
    return np.stack([both & 15, both >> 4], axis=1).reshape(-1)[:count].astype(np.int64)


@lru_cache
def needs(widest: int) -> NDArray[np.int64]:
    """Returns the bits that every width takes in the payload; more than there can be for those that do not exist."""
    bits = np.full(16, 1 << 32)
    bits[: widest + 1] = np.arange(widest + 1)
    bits[NOT_FINITE] = 0
    return bits
