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
    inline,
    least,
    load,
    most,
    sign_of,
    smallest,
    store,
    to_double,
    word_of,
)


@inline
def largest(row, at, n):
    """The largest magnitude; NaN or Inf if there is one. Integers compare like positive floats, NaN above all."""
    magnitude = fill(uint32(0x7FFFFFFF))
    even, odd = fill(uint32(0)), fill(uint32(0))
    for i in range(at, at + n - 16, 32):
        even = most(even, word_of(load(row, i)) & magnitude)
        odd = most(odd, word_of(load(row, i + 16)) & magnitude)
    last = word_of(load(row, at + n - 16)) & magnitude
    return float_bits(greatest(most(most(even, odd), last)))


@inline
def extremes(row, at, n):
    """The least and the greatest, -0.0 below 0.0; one of them is NaN or Inf if there is one."""
    low, high = fill(uint32(0x7FFFFFFF)), fill(uint32(0x80000000))
    for i in range(at, at + n, 16):
        word = ordered(load(row, i))
        low, high = least(low, word), most(high, word)
    return _unordered(smallest(low)), _unordered(greatest(high))


@inline
def ordered(x):
    """Integers with the order of the floats; -0.0 is below 0.0, NaN beyond the infinity of its sign."""
    word = word_of(x)
    return word ^ (sign_of(word) & fill(uint32(0x7FFFFFFF)))


@inline
def _unordered(word):
    return float_bits(np.int32(word ^ np.int32((word >> np.int32(31)) & np.int32(0x7FFFFFFF))))


@inline
def l1(row, at, n, sums):
    """The sum of magnitudes in float64; ``sums`` is room for n / 8 float64, at least 128."""
    return _fold(_magnitude, row, at, n, sums)


@inline
def l2(row, at, n, sums):
    """The root of the sum of squares in float64; ``sums`` as for ``l1``."""
    return np.sqrt(_fold(_square, row, at, n, sums))


@inline
def _magnitude(row, i):
    return to_double(float_of(word_of(load(row, i)) & fill(uint32(0x7FFFFFFF))))


@inline
def _square(row, i):
    x = to_double(load(row, i))
    return x * x


@inline
def _fold(term, row, at, n, sums):
    """The sum of n terms by folding halves, the upper added to the lower: one order of additions everywhere."""
    m = n
    if n >= 128:
        m = n // 8
        for k in range(0, m, WIDTH):
            i = at + k
            even = _pair(term, row, i, 4 * m) + _pair(term, row, i + 2 * m, 4 * m)
            odd = _pair(term, row, i + m, 4 * m) + _pair(term, row, i + 3 * m, 4 * m)
            store(sums, k, even + odd)
    else:
        for k in range(0, n, WIDTH):
            store(sums, k, term(row, at + k))
    while m > WIDTH:
        m //= 2
        for k in range(0, m, WIDTH):
            store(sums, k, load(sums, k) + load(sums, k + m))
    return fold(load(sums, 0))


@inline
def _pair(term, row, i, distance):
    return term(row, i) + term(row, i + distance)
