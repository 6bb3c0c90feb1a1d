"""Norms and ranges of a row: ``n`` float32 from the index ``at`` of an array on.

``n`` is a multiple of 16, and a power of two for sums: rows are filled up with zeros, which adds nothing.
"""

import numpy as np
from numba import uint32

from compressors.kernels.cpu.lanes import (
    WIDTH,
    fill,
    float_bits,
    float_of,
    fold,
    greatest,
    jit,
    least,
    load,
    most,
    sign_of,
    smallest,
    store,
    to_double,
    word_of,
)


@jit
def largest(row, at, n):
    """The largest magnitude; NaN or Inf if there is one. Integers compare like positive floats, NaN above all."""
    magnitude = fill(uint32(0x7FFFFFFF))
    even, odd = fill(uint32(0)), fill(uint32(0))
    for i in range(at, at + n - 16, 32):
        even = most(even, word_of(load(row, i)) & magnitude)
        odd = most(odd, word_of(load(row, i + 16)) & magnitude)
    last = word_of(load(row, at + n - 16)) & magnitude
    return float_bits(greatest(most(most(even, odd), last)))


@jit
def extremes(row, at, n):
    """The least and the greatest, -0.0 below 0.0; one of them is NaN or Inf if there is one."""
    low, high = fill(uint32(0x7FFFFFFF)), fill(uint32(0x80000000))
    for i in range(at, at + n, 16):
        word = _ordered(word_of(load(row, i)))
        low, high = least(low, word), most(high, word)
    return _unordered(smallest(low)), _unordered(greatest(high))


@jit
def _ordered(word):
    """Integers with the order of the floats that have these bits."""
    return word ^ (sign_of(word) & fill(uint32(0x7FFFFFFF)))


@jit
def _unordered(word):
    return float_bits(np.int32(word ^ np.int32((word >> np.int32(31)) & np.int32(0x7FFFFFFF))))


@jit
def l1(row, at, n, sums):
    """The sum of magnitudes in float64; ``sums`` is room for n / 8 float64, at least 128."""
    return _fold(row, at, row, at, True, n, sums)


@jit
def l2(row, at, n, sums):
    """The root of the sum of squares in float64; ``sums`` as for ``l1``."""
    return np.sqrt(_fold(row, at, row, at, False, n, sums))


@jit
def inner(row, at, other, at_other, n, sums):
    """The inner product of two rows in float64; ``sums`` as for ``l1``."""
    return _fold(row, at, other, at_other, False, n, sums)


@jit
def _fold(a, i, b, j, magnitudes, n, sums):
    """The sum of n terms by folding halves, the upper added to the lower: one order of additions everywhere."""
    m = n
    if n >= 128:
        m = n // 8
        for k in range(0, m, WIDTH):
            p, q = i + k, j + k
            even = _pair(a, p, b, q, 4 * m, magnitudes) + _pair(a, p + 2 * m, b, q + 2 * m, 4 * m, magnitudes)
            odd = _pair(a, p + m, b, q + m, 4 * m, magnitudes) + _pair(a, p + 3 * m, b, q + 3 * m, 4 * m, magnitudes)
            store(sums, k, even + odd)
    else:
        for k in range(0, n, WIDTH):
            store(sums, k, _term(a, i + k, b, j + k, magnitudes))
    while m > WIDTH:
        m //= 2
        for k in range(0, m, WIDTH):
            store(sums, k, load(sums, k) + load(sums, k + m))
    return fold(load(sums, 0))


@jit
def _pair(a, i, b, j, distance, magnitudes):
    return _term(a, i, b, j, magnitudes) + _term(a, i + distance, b, j + distance, magnitudes)


@jit
def _term(a, i, b, j, magnitudes):
    x = load(a, i)
    if magnitudes:
        return to_double(float_of(word_of(x) & fill(uint32(0x7FFFFFFF))))
    return to_double(x) * to_double(load(b, j))
