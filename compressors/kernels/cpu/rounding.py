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
    fill,
    floor,
    jit,
    least,
    load,
    most,
    permute,
    places,
    prefetch,
    store,
    to_byte,
    to_float,
    to_word,
    truncate,
)
from compressors.kernels.cpu.plan import L1, L2, LINF, PROJECTION, RANGE
from compressors.kernels.cpu.random import bucket_keys, chances
from compressors.kernels.cpu.rows import width


@jit
def quantize(plan, row, at, n, key, index, scratch):
    """Writes the codes of the row to ``scratch.codes``; returns (scale or unit, low), both float32.

    ``key`` (uint64) and the bucket's number ``index`` choose the random numbers. If the row is not finite, or its
    scale is not, both results are NaN and the codes 0. ``row`` may be ``scratch.row``, and is spoilt then.
    """
    unit, low, finite = _unit(plan, row, at, n, scratch.sums)
    if finite:
        if plan.norm == PROJECTION:
            unit = _project(plan, row, at, n, scratch)
        else:
            k1, k2 = bucket_keys(key, index)
            if len(plan.points):
                _round_to_points(plan, row, at, n, unit, k1, k2, scratch.codes)
            else:
                _round_to_grid(plan, row, at, n, unit, low, k1, k2, scratch)
    if not (finite and np.isfinite(unit)):
        unit = low = np.float32(np.nan)
        scratch.codes[:n] = uint8(0)
    return unit, low


@jit
def _unit(plan, row, at, n, sums):
    """The unit or scale, the least value (0 but for ranges), and whether row and unit are finite."""
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
    if plan.norm == PROJECTION:
        return np.float32(0), low, np.isfinite(span)
    if len(plan.points) == 0:
        span = (span if plan.norm == RANGE else 2 * span) / plan.levels
    unit = _round_up(span)
    return unit, low, np.isfinite(unit)


@jit
def _round_up(x):
    """The least float32 that is not below x."""
    rounded = np.float32(x)
    return np.nextafter(rounded, np.float32(np.inf)) if np.float64(rounded) < x else rounded


@jit
def _boosted_inverse(unit):
    """A power of two that keeps 1 / unit and the differences within float32's range, and 1 / (unit * it)."""
    boost = np.float32(1)
    if 0 < unit < np.float32(2.0**-100):
        boost = np.float32(2.0**64)
    elif unit > np.float32(2.0**100):
        boost = np.float32(2.0**-64)
    return boost, np.float32(1) / (unit * boost) if unit > 0 else np.float32(0)


@jit
def _round_to_grid(plan, row, at, n, unit, low, k1, k2, scratch):
    boost, inverse = _boosted_inverse(unit)
    if boost != 1:
        for i in range(0, n, WIDTH):
            store(scratch.row, i, load(row, at + i) * fill(boost))
        row, at = scratch.row, 0
    whole = np.floor(plan.offset)
    origin, slope, rest = fill(low * boost), fill(inverse), fill(np.float32(plan.offset - whole))
    shift, top, one, zero = fill(uint32(whole)), fill(uint32(plan.levels)), fill(uint32(1)), fill(uint32(0))
    counter, k2s = places() + fill(k1), fill(k2)
    for i in range(0, n, WIDTH):
        prefetch(row, at + n + i)
        t = (load(row, at + i) - origin) * slope + rest
        base = floor(t)
        up = choose(chances(counter, k2s) < t - base, one, zero)
        code = truncate(base) + up + shift
        store(scratch.codes, i, to_byte(least(most(code, zero), top)))
        counter = counter + fill(uint32(WIDTH))


@jit
def _round_to_points(plan, row, at, n, scale, k1, k2, codes):
    """Finds the points below and above by bisection, and draws one."""
    boost, inverse = _boosted_inverse(scale)
    boosts, inverses, last = fill(boost), fill(inverse), plan.points[len(plan.points) - 1]
    top, inside, one, zero = fill(last), fill(np.nextafter(last, np.float32(-np.inf))), fill(uint32(1)), fill(uint32(0))
    lowers, uppers = load(plan.tree, 64), load(plan.tree, 80)
    counter, k2s = places() + fill(k1), fill(k2)
    for i in range(0, n, WIDTH):
        prefetch(row, at + n + i)
        t = load(row, at + i) * boosts * inverses
        x = choose(t < top, t, inside)
        code = _sixteenth(plan.tree, x)
        lower, upper = permute(lowers, code), permute(uppers, code)
        start, blocks = 96, 1
        for _ in range(4, plan.bits):
            pivot = _look_up(plan.tree, start, blocks, code)
            right = pivot <= x
            code = code + code + choose(right, one, zero)
            lower, upper = choose(right, pivot, lower), choose(right, upper, pivot)
            start, blocks = start + WIDTH * blocks, 2 * blocks
        up = chances(counter, k2s) * (upper - lower) < t - lower
        store(codes, i, to_byte(code + choose(up, one, zero)))
        counter = counter + fill(uint32(WIDTH))


@jit
def _sixteenth(tree, x):
    """In which sixteenth of the edges x lies: the first four steps."""
    zero = fill(uint32(0))
    code = choose(load(tree, 0) <= x, fill(uint32(8)), zero)
    code = code | choose(permute(load(tree, 16), code) <= x, fill(uint32(4)), zero)
    code = code | choose(permute(load(tree, 32), code) <= x, fill(uint32(2)), zero)
    return code | choose(permute(load(tree, 48), code) <= x, fill(uint32(1)), zero)


@jit
def _look_up(table, start, blocks, index):
    """The numbers at ``index``, below 16 times ``blocks``, of the table that begins at ``start``."""
    place, block = index & fill(uint32(15)), index >> fill(uint32(4))
    found = permute(load(table, start), place)
    for b in range(1, blocks):
        found = choose(block == fill(uint32(b)), permute(load(table, start + WIDTH * b), place), found)
    return found


@jit
def _project(plan, row, at, n, scratch):
    """Codes of the nearest points to the row over its root mean square; the scale that keeps the inner product."""
    norm = norms.l2(row, at, width(n), scratch.sums)
    factor = fill(np.float32(np.sqrt(np.float64(n)) / norm) if norm > 0 else np.float32(0))
    blocks, one, zero = len(plan.points) // WIDTH, fill(uint32(1)), fill(uint32(0))
    for i in range(0, width(n), WIDTH):
        t = load(row, at + i) * factor
        code = _sixteenth(plan.tree, t)
        start, size = 96, 1
        for _ in range(4, plan.bits):
            code = code + code + choose(_look_up(plan.tree, start, size, code) <= t, one, zero)
            start, size = start + WIDTH * size, 2 * size
        store(scratch.codes, i, to_byte(code))
        store(scratch.values, i, _look_up(plan.points, 0, blocks, code))
    inner = norms.inner(row, at, scratch.values, 0, width(n), scratch.sums)
    return np.float32(norm * norm / inner) if norm > 0 else np.float32(0)


@jit
def restore(plan, codes, n, unit, low, key, index, out, at, add):
    """The inverse of ``quantize``: writes n values to ``out`` from ``at`` on, or adds them; up to 15 beyond."""
    if len(plan.points):
        _restore_points(plan, codes, n, unit, out, at, add)
    elif plan.dithered:
        k1, k2 = bucket_keys(key, index)
        _restore_dithered(plan, codes, n, unit, k1, k2, out, at, add)
    else:
        _restore_grid(plan, codes, n, unit, low, out, at, add)


@jit
def _restore_points(plan, codes, n, scale, out, at, add):
    scales, blocks = fill(scale), len(plan.points) // WIDTH
    for i in range(0, n, WIDTH):
        _put(_look_up(plan.points, 0, blocks, to_word(load(codes, i))) * scales, out, at + i, add)


@jit
def _restore_dithered(plan, codes, n, unit, k1, k2, out, at, add):
    offset, units, half = fill(np.float32(plan.offset)), fill(unit), fill(np.float32(0.5))
    counter, k2s = places() + fill(k1), fill(k2)
    for i in range(0, n, WIDTH):
        value = to_float(to_word(load(codes, i))) - offset + (chances(counter, k2s) - half)
        _put(value * units, out, at + i, add)
        counter = counter + fill(uint32(WIDTH))


@jit
def _restore_grid(plan, codes, n, unit, low, out, at, add):
    offset, units, lows = fill(np.float32(plan.offset)), fill(unit), fill(low)
    ranged = plan.norm == RANGE
    for i in range(0, n, WIDTH):
        value = (to_float(to_word(load(codes, i))) - offset) * units
        _put(value + lows if ranged else value, out, at + i, add)


@jit
def _put(value, out, i, add):
    store(out, i, load(out, i) + value if add else value)
