"""Random numbers of a place in a bucket."""

import numpy as np
from numba import uint32, uint64

from compressors.kernels.cpu.lanes import fill, inline, to_float
from compressors.random import GOLDEN


@inline
def bucket_keys(key, index):
    """The two words (uint32) of the bucket of this number: SplitMix64 of its place in the stream ``key`` (uint64)."""
    x = key + uint64(GOLDEN) * uint64(index + 1)
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    x = x ^ (x >> uint64(31))
    return uint32(x), uint32(x >> uint64(32))


@inline
def random_words(counter, k2):
    """Words of 32 random bits, "lowbias32" (Wellons, 2018): ``counter`` is the place in the bucket plus the first key.

    Both arguments and the result are lanes of words.
    """
    x = (counter ^ (counter >> fill(uint32(16)))) * fill(uint32(0x21F0AAAD)) ^ k2
    x = (x ^ (x >> fill(uint32(15)))) * fill(uint32(0xD35A2D97))
    return x ^ (x >> fill(uint32(15)))


@inline
def chances(counter, k2):
    """Uniform float32 in [0, 1), multiples of 2^-24."""
    return to_float(random_words(counter, k2) >> fill(uint32(8))) * fill(np.float32(2.0**-24))
