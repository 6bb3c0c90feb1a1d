"""Counter-based random numbers, as the reference draws them."""

import triton
import triton.language as tl

from compressors.kernels.strata import SECTION as _SECTION
from compressors.random import GOLDEN as _GOLDEN

GOLDEN = tl.constexpr(_GOLDEN)
SECTION = tl.constexpr(_SECTION)


@triton.jit
def number(key):
    """A key as uint64, if it is an integer of any size, or a pointer to its 8 bytes."""
    if key.dtype.is_ptr():
        byte = tl.arange(0, 8)
        key = tl.sum(tl.load(key + byte).to(tl.uint64) << (8 * byte).to(tl.uint64), 0)
    return key.to(tl.uint64)


@triton.jit
def mix64(x):
    """SplitMix64's output function."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    return x ^ (x >> 31)


@triton.jit
def derived(key, word):
    """``compressors.random.derive(key, word)``."""
    return mix64(mix64(mix64(key) + GOLDEN) + GOLDEN + mix64(tl.full((), word, tl.uint64)))


@triton.jit
def hashed(key, bucket, place):
    """32 random bits for every place in every bucket: lowbias32, keyed by SplitMix64 of the bucket."""
    bucket_key = mix64(key + GOLDEN * (bucket + 1).to(tl.uint64))
    x = place.to(tl.uint32) + bucket_key.to(tl.uint32)
    x = (x ^ (x >> 16)) * 0x21F0AAAD
    x = x ^ (bucket_key >> 32).to(tl.uint32)
    x = (x ^ (x >> 15)) * 0xD35A2D97
    return x ^ (x >> 15)


@triton.jit
def chances(key, shared, rank, ranks, part, bucket, place, together: tl.constexpr):
    """A multiple of 2^-24 in [0, 1) for every place in every bucket; if they are drawn together, in this rank's parts
    of [0, 1], each ``part`` long.
    """
    own = fraction(hashed(key, bucket, place))
    if together:
        start = mix64(number(shared) + GOLDEN * (bucket + 1).to(tl.uint64)).to(tl.uint32)
        mine = tl.floor(fraction(start + place.to(tl.uint32) * SECTION) * ranks) + rank
        own = (tl.where(mine < ranks, mine, mine - ranks) + own) * part
    return own


@triton.jit
def fraction(words):
    return (words >> 8).to(tl.int32).to(tl.float32) * 5.9604644775390625e-08
