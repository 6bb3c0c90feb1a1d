"""Every rotated block of a vector, while it is in the nearest cache."""

import math
from typing import NamedTuple

import numpy as np
from numba import uint8, uint32
from numpy.typing import NDArray

from compressors.kernels.cpu import bits, nearest, rounding
from compressors.kernels.cpu.buckets import borrow_plan, borrow_scratch
from compressors.kernels.cpu.hadamard import flipped, mixed, transform, turn
from compressors.kernels.cpu.lanes import (
    WIDTH,
    borrow,
    fill,
    float_bits,
    inline,
    kernel,
    load,
    places,
    store,
    word_bits,
)
from compressors.kernels.cpu.norms import largest
from compressors.kernels.cpu.plan import PROJECTION, Scratch, aligned
from compressors.kernels.cpu.random import Draw, bucket_keys
from compressors.kernels.cpu.rows import read, write

WIDEST = 8


class Keys(NamedTuple):
    """Keys of the random numbers of a vector: for the two turns, and for rounding."""

    first: np.uint64
    second: np.uint64
    rounding: Draw


class Places(NamedTuple):
    """Places of a vector's blocks in its payload."""

    shortest: int
    """The last block is filled up to a power of two of at least so many coordinates."""
    widths: NDArray[np.int64]
    """Bits of every block's codes. Blocks of other widths than 1 to 8 are not in the payload: they are 0, or NaN."""
    headers: NDArray[np.int64]
    codes: NDArray[np.int64]


def room(length: int) -> Scratch:
    """For blocks of up to so many coordinates, aligned to whole lines of cache."""
    return Scratch(aligned(length, np.float32), aligned(length, np.uint8), aligned(length // 4, np.float64))


@kernel
def encode(floats, halves, brain, plan, tables, keys, places, factors, payload, scratch, first, last):
    """Writes headers and codes of the blocks from ``first`` to before ``last``; ``factors`` multiply the headers."""
    floats, halves, factors, payload = borrow(floats), borrow(halves), borrow(factors), borrow(payload)
    plan, scratch, places = borrow_plan(plan), borrow_scratch(scratch), _borrow_places(places)
    tables = borrow(tables[0]), borrow(tables[1])
    numel = len(floats) + len(halves)
    block = scratch.row
    for index in range(first, last):
        width = places.widths[index]
        if not 1 <= width <= WIDEST:
            continue
        start = index * plan.bucket_size
        n = min(plan.bucket_size, numel - start)
        length = _filled(n, places.shortest)
        row, at = floats, start
        if len(halves) or n != length:
            block[n:length] = np.float32(0)
            read(floats, halves, brain, start, n, False, block)
            row, at = block, start - start
        unit = _rotate(row, at, block, length, keys, index)
        scale = np.float32(np.nan)
        if np.isnan(unit):
            scratch.codes[:length] = uint8(0)
        elif plan.norm == PROJECTION:
            scale = _project(block, length, width, tables, scratch)
        else:
            scale, _ = rounding.quantize(plan, block, 0, length, keys.rounding, index, scratch)
        if not np.isnan(unit):
            scale = np.float32(np.float64(scale) * (factors[index] * unit))
        _write_float(payload, places.headers[index], scale)
        bits.pack(width, scratch.codes, length, payload, places.codes[index])


@kernel
def decode(payload, plan, tables, keys, places, floats, halves, brain, add, scratch, first, last):
    """The inverse: writes the coordinates of these blocks, or adds them."""
    floats, halves, payload, points = borrow(floats), borrow(halves), borrow(payload), borrow(tables[1])
    plan, scratch, places = borrow_plan(plan), borrow_scratch(scratch), _borrow_places(places)
    numel = len(floats) + len(halves)
    block = scratch.row
    for index in range(first, last):
        width = places.widths[index]
        start = index * plan.bucket_size
        n = min(plan.bucket_size, numel - start)
        length = _filled(n, places.shortest)
        scale = np.float32(np.nan if width else 0)
        if 1 <= width <= WIDEST:
            scale = _read_float(payload, places.headers[index])
            bits.unpack(width, payload, places.codes[index], length, scratch.codes)
            if plan.norm == PROJECTION:
                nearest.restore(scratch.codes, length, width, points, block)
            else:
                one, zero = np.float32(1), np.float32(0)
                rounding.restore(plan, scratch.codes, length, one, zero, keys.rounding, index, block, 0, False)
            transform(block, length)
        else:
            block[:length] = np.float32(0)  # and so would be the transform
        k1, k2 = bucket_keys(keys.second, index)
        turn(block, 0, block, length, np.float32(1), k1, k2, floats, start)
        k1, k2 = bucket_keys(keys.first, index)
        direct = len(floats) > 0 and n == length
        out, at = (floats, start) if direct else (block, start - start)
        _scale(block, length, scale, k1, k2, out, at, add and direct)
        if not direct:
            write(block, n, floats, halves, brain, start, add)


@kernel
def energies(floats, halves, brain, length, results, scratch, first, last):
    """Writes the sum of squares of the blocks from ``first`` to before ``last``."""
    floats, halves, results = borrow(floats), borrow(halves), borrow(results)
    row, sums = borrow(scratch.row), borrow(scratch.sums)
    numel = len(floats) + len(halves)
    for index in range(first, last):
        start = index * length
        n = min(length, numel - start)
        if len(halves) or n != length:
            row[n:length] = np.float32(0)
            read(floats, halves, brain, start, n, False, row)
            results[index] = nearest.energy(row, 0, length, sums)
        else:
            results[index] = nearest.energy(floats, start, length, sums)


@kernel
def arrange(widths, headers, codes, length):
    """Fills in the places of blocks grouped by width, headers first; returns where the last ends."""
    place = 0
    for width in range(1, WIDEST + 1):
        first = place
        for index in range(len(widths)):
            if widths[index] == width:
                headers[index] = place
                place += 4
        if place > first:
            for index in range(len(widths)):
                if widths[index] == width:
                    codes[index] = place
                    place += width * (length // 8)
    return place


@inline
def _borrow_places(places):
    return Places(places.shortest, borrow(places.widths), borrow(places.headers), borrow(places.codes))


@inline
def _filled(n, shortest):
    """The length of a block of n coordinates."""
    length = shortest
    while length < n:
        length *= 2
    return length


@inline
def _rotate(source, at, block, n, keys, index):
    """Writes the rotated block of n coordinates over the power of two that is returned; NaN if it is not finite."""
    most = largest(source, at, n)
    if not np.isfinite(most):
        return np.nan
    exponent = math.frexp(np.float64(most))[1] if most > 0 else 0
    k1, k2 = bucket_keys(keys.first, index)
    if exponent < -100:  # 2^-exponent might be beyond float32
        for i in range(0, n, WIDTH):
            store(block, i, load(source, at + i) * fill(np.float32(2.0**100)))
        turn(block, 0, block, n, np.float32(math.ldexp(1.0, -exponent - 100)), k1, k2, source, at + n)
    else:
        turn(source, at, block, n, np.float32(math.ldexp(1.0, -exponent)), k1, k2, source, at + n)
    k1, k2 = bucket_keys(keys.second, index)
    turn(block, 0, block, n, np.float32(1), k1, k2, source, at + n)
    return math.ldexp(1.0, exponent)


@inline
def _project(block, n, width, tables, scratch):
    """Codes of the nearest points to the block over its root mean square; the scale that keeps the inner product."""
    trees, points = tables
    norm = np.sqrt(nearest.energy(block, 0, n, scratch.sums))
    if not norm > 0:
        nearest.project(block, n, width, np.float32(0), trees, points, scratch.codes, scratch.sums)
        return np.float32(0)
    factor = np.float32(np.sqrt(np.float64(n)) / norm)
    inner = nearest.project(block, n, width, factor, trees, points, scratch.codes, scratch.sums)
    return np.float32(norm * norm / inner)


@inline
def _scale(block, n, scale, k1, k2, out, at, add):
    """Writes the block, which two transforms made n^2 times too long, with the signs of these keys times ``scale``."""
    shrink, scales = fill(np.float32(1 / n / n)), fill(scale)
    counter, mixed_k2 = places() + fill(k1), mixed(k2)
    for i in range(0, n, WIDTH):
        value = flipped(load(block, i), counter, mixed_k2) * shrink * scales
        store(out, at + i, load(out, at + i) + value if add else value)
        counter = counter + fill(uint32(WIDTH))


@inline
def _write_float(data, place, value):
    word = word_bits(value)
    for k in range(4):
        data[place + k] = uint8(word >> np.int32(8 * k))


@inline
def _read_float(data, place):
    word = uint32(0)
    for k in range(4):
        word = uint32(word | uint32(uint32(data[place + k]) << uint32(8 * k)))
    return float_bits(np.int32(word))
