"""Scales of 16 bits in place of float32: its exponent and 8 bits of its mantissa, without the sign, which is plus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compressors.allocation import WIDEST
from compressors.deferred import Deferred
from compressors.kernels.strata import SECTION

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np, torch = Deferred("numpy"), Deferred("torch")

LONG, SHORT = 4, 2
"""Bytes of a scale."""
VARIANCE = 2.0**-18
"""Most of the squared error of a scale over its square: a quarter of a step, and steps are at most 2^-8."""

_DROPPED = 15
_INFINITE = 0x7F800000


def body_bytes(widths: NDArray[np.int64], length: int, scale_bytes: int) -> int:
    """Returns the bytes of scales and codes of buckets of these widths and this length."""
    return sum(_sizes(widths, length, scale_bytes))


def shorten(body: Tensor, widths: NDArray[np.int64], length: int, key: int, out: Tensor) -> None:
    """Writes what ``encode_variable`` has written with its scales shortened, and zeros behind it.

    A scale becomes one of the two next to it, at random by the key so that its expectation stays. Random numbers of
    neighbours are golden sections apart, as in ``Strata``: each is uniform, and errors of buckets are orthogonal.
    """
    pieces, sizes = body.split(_sizes(widths, length, LONG)), _sizes(widths, length, SHORT)
    scales = _short(torch.cat(pieces[::2]), key).split(sizes[::2])
    stop = sum(sizes)
    torch.cat([part for pair in zip(scales, pieces[1::2], strict=True) for part in pair], out=out[:stop])
    out[stop:] = 0


def lengthen(body: Tensor, widths: NDArray[np.int64], length: int) -> Tensor:
    """Returns what ``decode_variable`` reads, from a body that ``shorten`` has written."""
    sizes = _sizes(widths, length, SHORT)
    pieces = body[: sum(sizes)].split(sizes)
    scales = _long(torch.cat(pieces[::2])).split(_sizes(widths, length, LONG)[::2])
    return torch.cat([part for pair in zip(scales, pieces[1::2], strict=True) for part in pair])


def long_scales(body: Tensor, widths: NDArray[np.int64], length: int, scale_bytes: int) -> Tensor:
    """Returns the bytes of all scales of a body, as float32."""
    sizes = _sizes(widths, length, scale_bytes)
    found = torch.cat(body[: sum(sizes)].split(sizes)[::2])
    return _long(found) if scale_bytes == SHORT else found


def _sizes(widths: NDArray[np.int64], length: int, scale_bytes: int) -> list[int]:
    """The bytes of the scales, then of the codes, of the buckets of every width."""
    counts = np.bincount(widths, minlength=WIDEST + 1).tolist()
    return [
        size
        for width in range(1, WIDEST + 1)
        for size in (scale_bytes * counts[width], width * length // 8 * counts[width])
    ]


def _short(scales: Tensor, key: int) -> Tensor:
    """The bytes of 16-bit numbers from those of float32, which begin their memory."""
    words = scales.view(torch.int32) & 0x7FFFFFFF
    random = torch.arange(len(words), device=words.device).mul_(SECTION).add_(key >> 32).bitwise_and_(0xFFFFFFFF)
    rounded = words + (random >> 32 - _DROPPED).int() >> _DROPPED
    finite = rounded.clamp_(max=(_INFINITE >> _DROPPED) - 1)
    return torch.where(words < _INFINITE, finite, words >> _DROPPED).to(torch.int16).view(torch.uint8)


def _long(scales: Tensor) -> Tensor:
    """The bytes of float32 from those of 16-bit numbers, which begin their memory."""
    return ((scales.view(torch.int16).int() & 0xFFFF) << _DROPPED).view(torch.uint8)
