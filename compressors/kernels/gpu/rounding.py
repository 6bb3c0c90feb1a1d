"""From the coordinates of buckets to headers and codes; shapes as in ``norms``."""

import triton
import triton.language as tl

from compressors.kernels.gpu.norms import fold, norm

TINY, HUGE = tl.constexpr(2.0**-100), tl.constexpr(2.0**100)
UP, DOWN = tl.constexpr(2.0**64), tl.constexpr(2.0**-64)


@triton.jit
def round_to_grid(x, low, unit, chance, levels, whole, rest):
    """The offset comes as the sum of a whole number and a rest in [0, 1)."""
    boost, inverse = boosted_inverse(unit)
    t = (x * boost - low * boost) * inverse + rest
    below = floor(t)
    codes = below.to(tl.int32) + (chance < t - below).to(tl.int32) + whole
    return tl.minimum(tl.maximum(codes, 0), levels)


@triton.jit
def round_to_points(x, scale, chance, table, bits):
    boost, inverse = boosted_inverse(scale)
    t = x * boost * inverse
    lower = last_edge(table, t, bits)
    below, above = tl.load(table + lower), tl.load(table + lower + 1)
    return lower + (chance * (above - below) < t - below).to(tl.int32)


@triton.jit
def project(x, flat, table, bits, length, log: tl.constexpr, even: tl.constexpr):
    """Codes of the nearest points, and the scale that keeps the inner product."""
    size = norm(x, flat, "l2", log)
    factor = tl.where(size > 0, tl.sqrt(length.to(tl.float64)) / size, 0.0).to(tl.float32)
    codes = last_edge(table, flat * factor, bits)
    points = tl.load(table + codes)
    inner = fold(flat.to(tl.float64) * points.to(tl.float64), log)
    if not even:
        codes = last_edge(table, x * factor, bits)
    return tl.where(size > 0, size * size / inner, 0.0).to(tl.float32), codes


@triton.jit
def last_edge(table, t, bits):
    """The index of the last edge that is not above t, or 0. The edges follow the 2^bits points of a table."""
    edges = table + (1 << bits)
    index = tl.zeros(t.shape, tl.int32)
    for step in range(bits):
        next_index = index + ((1 << bits) >> (step + 1))
        index = tl.where(tl.load(edges + next_index) <= t, next_index, index)
    return index


@triton.jit
def round_up(x):
    """The least float32 that is not below x, a float64 and not negative."""
    rounded = x.to(tl.float32)
    above = (rounded.to(tl.int32, bitcast=True) + 1).to(tl.float32, bitcast=True)
    return tl.where(rounded.to(tl.float64) < x, above, rounded)


@triton.jit
def floor(x):
    """The greatest integer that is not above x, denormals below 0 included."""
    below = tl.floor(x)  # on a GPU it may take these for 0
    return tl.where((x < 0) & (below == 0), -1.0, below)


@triton.jit
def is_odd(integers):
    """Tells which of these integers, in float32, are odd."""
    halves = integers * 0.5
    return halves != tl.floor(halves)


@triton.jit
def boosted_inverse(unit):
    """A power of two that keeps 1 / unit and the differences within float32's range, and 1 / (unit * it)."""
    boost = tl.where((unit > 0) & (unit < TINY), UP, tl.where(unit > HUGE, DOWN, 1.0))
    return boost, tl.where(unit > 0, tl.div_rn(1.0, unit * boost), 0.0)
