"""The random basis, in registers: signs and the Hadamard matrix, twice."""

import triton
import triton.language as tl

from compressors.kernels.gpu.norms import INFINITE, magnitude_bits, most
from compressors.kernels.gpu.random import derived, hashed

SIGN = tl.constexpr(0x80000000)


@triton.jit
def rotate(x, key, bucket, place, log: tl.constexpr):
    """The rotated buckets over two to their exponents, and these: (1, rows, 1) int32."""
    largest = most(magnitude_bits(x))
    bits = largest.to(tl.float32, bitcast=True).to(tl.float64).to(tl.int64, bitcast=True)
    exponents = tl.where((largest > 0) & (largest < INFINITE), (bits >> 52).to(tl.int32) - 1022, 0)
    x = (x.to(tl.float64) * power_of_two(-exponents)).to(tl.float32)
    x = hadamard(flip_signs(x, derived(key, 1), bucket, place), log)
    return hadamard(flip_signs(x, derived(key, 2), bucket, place), log), exponents


@triton.jit
def rotate_back(x, key, bucket, place, log: tl.constexpr):
    """The inverse of ``rotate``, less the exponents."""
    x = flip_signs(hadamard(x, log), derived(key, 2), bucket, place)
    x = flip_signs(hadamard(x, log), derived(key, 1), bucket, place)
    return x * (1 / (64 << (2 * log)))


@triton.jit
def flip_signs(x, key, bucket, place):
    """Minus where the uniform number is below one half, which is where its hash begins with 0."""
    flips = (hashed(key, bucket, place) ^ SIGN) & SIGN
    return (x.to(tl.uint32, bitcast=True) ^ flips).to(tl.float32, bitcast=True)


@triton.jit
def hadamard(x, log: tl.constexpr):
    """Every bucket of (8, rows, 2^log) times the Hadamard matrix, not normalised, as the reference adds."""
    for step in tl.static_range(log):
        x = butterfly(x, 1 << step)
    for step in tl.static_range(3):
        x = butterfly(x, x.shape[1] << (log + step))
    return x


@triton.jit
def butterfly(x, stride: tl.constexpr):
    """a and b, so many elements apart, become a + b and a - b.

    Either finds the other by subtracting itself from the sum of both as integers, which is a single
    shuffle, or nothing at all inside a thread.
    """
    pairs = tl.reshape(x, (x.numel // (2 * stride), 2, stride))
    words = pairs.to(tl.uint32, bitcast=True)
    other = (tl.sum(words, 1, keep_dims=True) - words).to(tl.float32, bitcast=True)
    sign = 1.0 - 2 * tl.arange(0, 2)[None, :, None]
    return tl.reshape(tl.fma(pairs, sign.broadcast_to(pairs.shape), other), x.shape)  # exact products: one rounding


@triton.jit
def power_of_two(exponent):
    """In float64, from bits, since exp2 may be off by one."""
    return ((exponent + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)
