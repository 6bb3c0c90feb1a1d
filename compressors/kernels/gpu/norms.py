"""The span of a bucket. Buckets are (8, rows, 2^log) registers, results (1, rows, 1).

``flat`` holds the same buckets as ``x`` with coordinate e * 2^log + i at (e, row, i): sums are folded in this order.
"""

import triton
import triton.language as tl

MAGNITUDE = tl.constexpr(0x7FFFFFFF)
INFINITE = tl.constexpr(0x7F800000)
"""The bits of infinity; those of NaN are above."""


@triton.jit
def norm(x, flat, kind: tl.constexpr, log: tl.constexpr):
    """In float64."""
    if kind == "linf":
        result = most(magnitude_bits(x)).to(tl.float32, bitcast=True).to(tl.float64)
    elif kind == "l1":
        result = fold(tl.abs(flat.to(tl.float64)), log)
    else:
        wide = flat.to(tl.float64)
        result = tl.sqrt(fold(wide * wide, log))
    return result


@triton.jit
def extent(x, inside):
    """The least coordinate of every bucket, -0.0 as 0.0, and the distance to the greatest in float64."""
    words = ordered(x.to(tl.int32, bitcast=True))
    low = ordered(least(tl.where(inside, words, 0x7FFFFFFF))).to(tl.float32, bitcast=True) + 0.0
    high = ordered(most(tl.where(inside, words, -0x80000000))).to(tl.float32, bitcast=True)
    return low, high.to(tl.float64) - low.to(tl.float64)


@triton.jit
def fold(x, log: tl.constexpr):
    """The sum of every bucket, (1, rows, 1), of (8, rows, 2^log) float64, halves added to halves.

    A reduction over two elements is one addition, whatever order the compiler gives to longer ones. Every register
    gets the sum, since the compiler would spread what follows as it finds the last one.
    """
    for step in tl.static_range(3):
        x = tl.sum(tl.reshape(x, (2, 4 >> step, x.shape[1], 1 << log)), 0)
    for step in tl.static_range(log):
        pairs = tl.reshape(x, (x.shape[1] << step, 2, 1 << (log - 1 - step)))
        x = tl.reshape(tl.broadcast_to(tl.sum(pairs, 1, keep_dims=True), pairs.shape), x.shape)
    return most(x.to(tl.int64, bitcast=True)).to(tl.float64, bitcast=True)


@triton.jit
def most(x):
    """The greatest of every bucket, (1, rows, 1)."""
    return tl.max(tl.max(x, 0, keep_dims=True), 2, keep_dims=True)


@triton.jit
def least(x):
    return tl.min(tl.min(x, 0, keep_dims=True), 2, keep_dims=True)


@triton.jit
def magnitude_bits(x):
    """Integers ordered like the magnitudes of float32, NaN above all."""
    return x.to(tl.int32, bitcast=True) & MAGNITUDE


@triton.jit
def ordered(x):
    """float32 to integers of the same order, -0.0 below 0.0, as bits; its own inverse."""
    return x ^ ((x >> 31) & MAGNITUDE)
