"""Rows of a vector: one bucket in float32, whatever the vector's dtype.

A vector is two arrays, one of them empty: ``floats`` (float32) and ``halves`` (uint16, the bits of bfloat16 if
``brain``, else of float16).
"""

import numpy as np
import torch
from numba import uint16, uint32
from numpy.typing import NDArray
from torch import Tensor

from compressors.kernels.cpu.lanes import (
    WIDTH,
    choose,
    fill,
    float_of,
    inline,
    load,
    store,
    to_short,
    to_word,
    word_of,
)


def parts(vector: Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint16], bool]:
    """A vector as the two arrays, and whether the second is bfloat16."""
    if vector.dtype == torch.float32:
        return vector.numpy(), np.empty(0, np.uint16), False
    return np.empty(0, np.float32), vector.view(torch.uint16).numpy(), vector.dtype == torch.bfloat16


@inline
def width(n):
    """The length to which a row of n coordinates is filled up: a power of two, at least 16."""
    power = WIDTH
    while power < n:
        power *= 2
    return power


@inline
def read(floats, halves, brain, start, n, filler, row):
    """Copies n coordinates from ``start`` on to ``row`` and fills it up, with the first if ``filler``, else 0."""
    if len(floats):
        row[:n] = floats[start : start + n]
    else:
        whole = n - n % WIDTH
        for i in range(0, whole, WIDTH):
            store(row, i, _widened(load(halves, start + i), brain))
        if whole < n:
            last = np.zeros(WIDTH, np.uint16)
            last[: n - whole] = halves[start + whole : start + n]
            store(row, whole, _widened(load(last, 0), brain))
    row[n : width(n)] = row[0] if filler else np.float32(0)


@inline
def write(row, n, floats, halves, brain, start, add):
    """Writes the first n numbers of ``row`` to the vector from ``start`` on, or adds them."""
    if len(floats):
        for i in range(n):
            floats[start + i] = floats[start + i] + row[i] if add else row[i]
        return
    whole = n - n % WIDTH
    for i in range(0, whole, WIDTH):
        _put(load(row, i), halves, start + i, brain, add)
    if whole < n:
        last = np.zeros(WIDTH, np.uint16)
        last[: n - whole] = halves[start + whole : start + n]
        _put(load(row, whole), last, 0, brain, add)
        halves[start + whole : start + n] = last[: n - whole]


@inline
def _put(value, halves, i, brain, add):
    if add:
        value = _widened(load(halves, i), brain) + value
    store(halves, i, _narrowed(value, brain))


@inline
def _widened(half, brain):
    word = to_word(half)
    if brain:
        return float_of(word << fill(uint32(16)))
    magnitude = (word & fill(uint32(0x7FFF))) << fill(uint32(13))
    value = word_of(float_of(magnitude) * fill(np.float32(2.0**112)))
    infinite = fill(uint32(0x0F7FFFFF)) < magnitude
    value = value | choose(infinite, fill(uint32(0x7F800000)), fill(uint32(0)))
    return float_of(value | ((word & fill(uint32(0x8000))) << fill(uint32(16))))


@inline
def _narrowed(value, brain):
    """Rounds to nearest, ties to even."""
    word = word_of(value)
    if brain:
        even = (word >> fill(uint32(16))) & fill(uint32(1))
        rounded = to_short((word + fill(uint32(0x7FFF)) + even) >> fill(uint32(16)))
        return choose(value == value, rounded, fill(uint16(0x7FC0)))
    magnitude = word & fill(uint32(0x7FFFFFFF))
    even = (magnitude >> fill(uint32(13))) & fill(uint32(1))
    normal = (magnitude - fill(uint32(0x38000000)) + fill(uint32(0xFFF)) + even) >> fill(uint32(13))
    denormal = word_of(float_of(magnitude) + fill(np.float32(0.5))) - fill(uint32(0x3F000000))
    half = choose(magnitude < fill(uint32(0x38800000)), denormal, normal)
    half = choose(magnitude < fill(uint32(0x477FF000)), half, fill(uint32(0x7C00)))  # from 65520 on infinite
    half = choose(value == value, half, fill(uint32(0x7E00)))
    return to_short(half | ((word >> fill(uint32(16))) & fill(uint32(0x8000))))
