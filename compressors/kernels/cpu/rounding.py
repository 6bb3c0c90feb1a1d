"""From the coordinates of a row to codes and a scale, and back.

A row is ``n`` float32 from the index ``at`` of an array on, filled up to ``rows.width(n)``: with zeros, or with
one of its coordinates if its range is wanted.
"""

import numpy as np
from numba import uint8, uint32

from compressors.kernels.cpu import norms
from compressors.kernels.cpu.lanes import (
    WIDTH,
    choose,
    descend,
    fill,
    floor,
    inline,
    least,
    load,
    most,
    permute,
    prefetch,
    sign_of,
    store,
    to_byte,
    to_float,
    to_word,
    truncate,
    word_of,
)
from compressors.kernels.cpu.plan import L1, LINF, RANGE
from compressors.kernels.cpu.random import chances, keys_of
from compressors.kernels.cpu.rows import width
from compressors.kernels.cpu.tables import look_up


@inline
def quantize(plan, row, at, n, draw, index, scratch):
    """Writes the codes of the row to ``scratch.codes``; returns (scale or unit, low), both float32.

    ``draw`` and the bucket's number ``index`` choose the random numbers. If the row is not finite, or its
    scale is not, both results are NaN and the codes 0. ``row`` may be ``scratch.row``, and is spoilt then.
    """
    unit, low = _unit(plan, row, at, n, scratch.sums)
    if np.isfinite(unit):
        keys = keys_of(draw, index)
        if len(plan.points):
            _round_to_points(plan, row, at, n, unit, draw, keys, scratch)
        else:
            _round_to_grid(plan, row, at, n, unit, low, draw, keys, scratch)
    else:
        unit = low = np.float32(np.nan)
        scratch.codes[:n] = uint8(0)
    return unit, low


@inline
def _unit(plan, row, at, n, sums):
    """The unit or scale, NaN or Inf if the row is not finite, and the least value of a range, else 0."""
    low = np.float32(0)
    if plan.norm == RANGE:
        low, high = norms.extremes(row, at, width(n))
        low += np.float32(0)  # -0.0 becomes 0.0
        span = np.float64(high) - np.float64(low)
    elif plan.norm == LINF:
        span = np.float64(norms.largest(row, at, width(n)))
    elif plan.norm == L1:
        span = norms.l1(row, at, width(n), sums)
    else:
        span = norms.l2(row, at, width(n), sums)
    if len(plan.points) == 0:
        span = (span if plan.norm == RANGE else 2 * span) / plan.levels
    return _round_up(span), low


@inline
def _round_up(x):
    """The least float32 that is not below x."""
    rounded = np.float32(x)
    return np.nextafter(rounded, np.float32(np.inf)) if np.float64(rounded) < x else rounded


@inline
def _boosted_inverse(unit):
    """A power of two that keeps 1 / unit and the differences within float32's range, and 1 / (unit * it)."""
    boost = np.float32(1)
    if 0 < unit < np.float32(2.0**-100):
        boost = np.float32(2.0**64)
    elif unit > np.float32(2.0**100):
        boost = np.float32(2.0**-64)
    return boost, np.float32(1) / (unit * boost) if unit > 0 else np.float32(0)


@inline
def _boosted(row, at, n, boost, room):
    """The row times the boost, and where it is: the row itself, but for extreme units."""
    if boost == 1:
        return row, at
    for i in range(0, n, WIDTH):
        store(room, i, load(row, at + i) * fill(boost))
    return room, at - at


@inline
def _round_to_grid(plan, row, at, n, unit, low, draw, keys, scratch):
    boost, inverse = _boosted_inverse(unit)
    row, at = _boosted(row, at, n, boost, scratch.row)
    whole = np.floor(plan.offset)
    origin, slope, rest = fill(low * boost), fill(inverse), fill(np.float32(plan.offset - whole))
    shift, top, one, zero = fill(uint32(whole)), fill(uint32(plan.levels)), fill(uint32(1)), fill(uint32(0))
    for i in range(0, n, WIDTH):
        prefetch(row, at + n + i)
        t = (load(row, at + i) - origin) * slope + rest
        base = floor(t)
        up = choose(chances(draw, keys, i) < t - base, one, zero)
        code = truncate(base) + up + shift
        store(scratch.codes, i, to_byte(least(most(code, zero), top)))


@inline
def _round_to_points(plan, row, at, n, scale, draw, keys, scratch):
    """Finds the point below by bisection, and goes to the next one if chance says so."""
    boost, inverse = _boosted_inverse(scale)
    row, at = _boosted(row, at, n, boost, scratch.row)
    slope, zero, root = fill(inverse), fill(np.float32(0)), fill(uint32(1))
    size = len(plan.points)
    for i in range(0, n, WIDTH):
        prefetch(row, at + n + i)
        t = load(row, at + i) * slope + zero  # -0.0 becomes 0.0
        x, node = norms.ordered(t), root
        for _ in range(4):
            node = descend(node, word_of(permute(load(plan.tree, 0), node)) - x)
        level = WIDTH
        while level < size:
            node = descend(node, word_of(look_up(plan.tree, level, level, node)) - x)
            level *= 2
        lower, gap = look_up(plan.points, 0, size, node), look_up(plan.gaps, 0, size, node)
        up = sign_of(word_of(chances(draw, keys, i) * gap - (t - lower)))
        store(scratch.codes, i, to_byte((node & fill(uint32(size - 1))) - up))


@inline
def restore(plan, codes, n, unit, low, draw, index, out, at, add):
    """The inverse of ``quantize``: writes n values to ``out`` from ``at`` on, or adds them; up to 15 beyond."""
    if len(plan.points):
        _restore_points(plan, codes, n, unit, out, at, add)
    elif plan.dithered:
        _restore_dithered(plan, codes, n, unit, draw, keys_of(draw, index), out, at, add)
    else:
        _restore_grid(plan, codes, n, unit, low, out, at, add)


@inline
def _restore_points(plan, codes, n, scale, out, at, add):
    scales, size = fill(scale), len(plan.points)
    for i in range(0, n, WIDTH):
        _put(look_up(plan.points, 0, size, to_word(load(codes, i))) * scales, out, at + i, add)


@inline
def _restore_dithered(plan, codes, n, unit, draw, keys, out, at, add):
    offset, units, half = fill(np.float32(plan.offset)), fill(unit), fill(np.float32(0.5))
    for i in range(0, n, WIDTH):
        value = to_float(to_word(load(codes, i))) - offset + (chances(draw, keys, i) - half)
        _put(value * units, out, at + i, add)


@inline
def _restore_grid(plan, codes, n, unit, low, out, at, add):
    offset, units, lows = fill(np.float32(plan.offset)), fill(unit), fill(low)
    ranged = plan.norm == RANGE
    for i in range(0, n, WIDTH):
        value = (to_float(to_word(load(codes, i))) - offset) * units
        _put(value + lows if ranged else value, out, at + i, add)


@inline
def _put(value, out, i, add):
    store(out, i, load(out, i) + value if add else value)
