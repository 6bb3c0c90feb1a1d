"""The nearest of up to 256 points that are symmetric about zero, and back.

Magnitudes are searched, so half the points suffice: the search tree of their thresholds lies in
memory as heaps do (the root at 1, the children of node h at 2 h and 2 h + 1) and a node's number after
the last step is the code itself. Magnitudes are compared as integers, by the sign of a difference.
"""

from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import uint32
from numba.core import cgutils
from numba.extending import intrinsic

from compressors.kernels.cpu.lanes import (
    WIDTH,
    choose,
    descend,
    fill,
    float_of,
    fold,
    inline,
    load,
    permute,
    prefetch,
    sign_of,
    store,
    to_byte,
    to_double,
    to_word,
    word_of,
)
from compressors.kernels.cpu.tables import look_up_16, look_up_32, look_up_64, look_up_128

_ROOM = 128
"""Numbers in a table: half the points of the widest code."""


@lru_cache(maxsize=64)
def tables(point_sets: tuple[tuple[float, ...], ...]):
    """The search trees and the positive points of sets of 2^bits points, both float32 and from 128 (bits - 1) on.

    The trees hold the thresholds, every one the next smaller float32.
    """
    trees, points = np.zeros((2, 8, _ROOM), np.float32)
    for point_set in point_sets:
        every = np.array(point_set, np.float32)
        half = len(every) // 2
        row = half.bit_length() - 1
        points[row, :half] = every[half:]
        thresholds = ((every[1:] + every[:-1]) / np.float32(2))[half:]
        for level in range(row):
            step = half >> level
            trees[row, 1 << level : 2 << level] = np.nextafter(thresholds[step // 2 - 1 :: step], np.float32(0))
    return trees.reshape(-1), points.reshape(-1)


@inline
def project(block, n, bits, factor, trees, points, codes, sums):
    """Codes of the points nearest to the block times ``factor``; returns the block's inner product with the points."""
    if bits == 1:
        return _nearest_1(block, n, factor, trees, points, codes, sums)
    if bits == 2:
        return _nearest_2(block, n, factor, trees, points, codes, sums)
    if bits == 3:
        return _nearest_3(block, n, factor, trees, points, codes, sums)
    if bits == 4:
        return _nearest_4(block, n, factor, trees, points, codes, sums)
    if bits == 5:
        return _nearest_5(block, n, factor, trees, points, codes, sums)
    if bits == 6:
        return _nearest_6(block, n, factor, trees, points, codes, sums)
    if bits == 7:
        return _nearest_7(block, n, factor, trees, points, codes, sums)
    return _nearest_8(block, n, factor, trees, points, codes, sums)


@inline
def restore(codes, n, bits, points, block):
    """The points of n codes."""
    if bits <= 5:
        _points_16(codes, n, bits, points, block)
    elif bits == 6:
        _points_32(codes, n, bits, points, block)
    elif bits == 7:
        _points_64(codes, n, bits, points, block)
    else:
        _points_128(codes, n, bits, points, block)


@intrinsic
def _multiply_add(typing_context, a, b, c):
    """a b + c in float64, rounded once; exact products of float32 make it the same as rounding twice."""

    def emit(context, builder, sig, args):
        vector = args[0].type
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{WIDTH}f64"
        )
        return builder.call(fma, args)

    return a(a, b, c), emit


def _nearest(bits):
    half = 1 << (bits - 1)
    here = _ROOM * (bits - 1)
    point = look_up_16 if bits <= 5 else {6: look_up_32, 7: look_up_64, 8: look_up_128}[bits]

    @inline
    def search(y, factor, trees, points, codes, i):
        t = word_of(y * factor + fill(np.float32(0)))  # -0.0 becomes 0.0
        negative = sign_of(t)
        magnitude = (t & fill(uint32(0x7FFFFFFF))) + negative  # one less for negative numbers: ties go up
        node = fill(uint32(1))
        if bits > 1:
            root = load(trees, here)
            node = descend(node, word_of(permute(root, node)) - magnitude)
            if bits > 2:
                node = descend(node, word_of(permute(root, node)) - magnitude)
            if bits > 3:
                node = descend(node, word_of(permute(root, node)) - magnitude)
            if bits > 4:
                node = descend(node, word_of(permute(root, node)) - magnitude)
            if bits > 5:
                node = descend(node, word_of(look_up_16(trees, here + 16, node)) - magnitude)
            if bits > 6:
                node = descend(node, word_of(look_up_32(trees, here + 32, node)) - magnitude)
            if bits > 7:
                node = descend(node, word_of(look_up_64(trees, here + 64, node)) - magnitude)
        store(codes, i, to_byte(node ^ (negative & fill(uint32(2 * half - 1)))))
        value = word_of(point(points, here, node & fill(uint32(half - 1)))) ^ (t & fill(uint32(0x80000000)))
        return to_double(y), to_double(float_of(value))

    @inline
    def nearest(block, n, factor, trees, points, codes, sums):
        factors, part = fill(factor), n // 4
        for i in range(0, part, WIDTH):
            y0, q0 = search(load(block, i), factors, trees, points, codes, i)
            y2, q2 = search(load(block, i + 2 * part), factors, trees, points, codes, i + 2 * part)
            y1, q1 = search(load(block, i + part), factors, trees, points, codes, i + part)
            y3, q3 = search(load(block, i + 3 * part), factors, trees, points, codes, i + 3 * part)
            store(sums, i, _multiply_add(y0, q0, y2 * q2) + _multiply_add(y1, q1, y3 * q3))
        return _folded(sums, part)

    return nearest


(_nearest_1, _nearest_2, _nearest_3, _nearest_4, _nearest_5, _nearest_6, _nearest_7, _nearest_8) = map(
    _nearest, range(1, 9)
)


@inline
def energy(row, at, n, sums):
    """The sum of n squares in float64, from ``at`` on; ``sums`` is room for n / 4."""
    part = n // 4
    for i in range(at, at + part, WIDTH):
        for quarter in range(4):
            prefetch(row, i + (4 + quarter) * part)
        a, b = to_double(load(row, i)), to_double(load(row, i + part))
        c, d = to_double(load(row, i + 2 * part)), to_double(load(row, i + 3 * part))
        store(sums, i - at, _multiply_add(a, a, c * c) + _multiply_add(b, b, d * d))
    return _folded(sums, part)


@inline
def _folded(sums, n):
    """The sum of n numbers, at least 64, folding halves; overwrites them."""
    while n > 64:
        n //= 2
        for i in range(0, n, WIDTH):
            store(sums, i, load(sums, i) + load(sums, i + n))
    return fold((load(sums, 0) + load(sums, 32)) + (load(sums, 16) + load(sums, 48)))


def _points(look_up):
    @inline
    def restore(codes, n, bits, points, block):
        here, half, sign = _ROOM * (bits - 1), fill(uint32(1 << (bits - 1))), fill(uint32(0x80000000))
        for i in range(0, n, WIDTH):
            code = to_word(load(codes, i))
            negative = code < half
            place = choose(negative, code ^ fill(uint32(0xFFFFFFFF)), code) & (half - fill(uint32(1)))
            value = word_of(look_up(points, here, place))
            store(block, i, float_of(choose(negative, value ^ sign, value)))

    return restore


_points_16, _points_32, _points_64, _points_128 = map(_points, (look_up_16, look_up_32, look_up_64, look_up_128))
