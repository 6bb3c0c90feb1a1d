"""Random numbers of a place in a bucket."""

from typing import NamedTuple

import numpy as np
from numba import uint32, uint64

from compressors.kernels.cpu.lanes import choose, fill, floor, inline, places, to_float
from compressors.kernels.strata import Strata
from compressors.random import GOLDEN


class Draw(NamedTuple):
    """What chooses the random numbers of a vector."""

    key: np.uint64
    together: bool
    """Are they correlated over ranks?"""
    shared: np.uint64
    rank: np.float32
    ranks: np.float32
    part: np.float32
    """1 / ranks."""


def draw_for(key: int, strata: Strata | None) -> Draw:
    shared, rank, ranks = strata or Strata(0, 0, 1)
    numbers = np.float32(rank), np.float32(ranks), np.float32(1 / ranks)
    return Draw(np.uint64(key), strata is not None, np.uint64(shared), *numbers)


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
def uniform(k1, k2, i):
    """Uniform float32 in [0, 1), multiples of 2^-24, for 16 places from ``i`` on in a bucket with these keys."""
    words = random_words(places() + fill(uint32(k1 + uint32(i))), fill(k2))
    return to_float(words >> fill(uint32(8))) * fill(np.float32(2.0**-24))


@inline
def chances(draw, keys, i):
    """``uniform`` numbers; if they are drawn together, in this rank's parts of [0, 1]. ``keys``: of ``keys_of``."""
    own = uniform(keys[0], keys[1], i)
    if draw.together:
        ranks = fill(draw.ranks)
        part = floor(uniform(keys[2], keys[3], i) * ranks) + fill(draw.rank)
        own = (choose(part < ranks, part, part - ranks) + own) * fill(draw.part)
    return own


@inline
def keys_of(draw, index):
    """The keys of the bucket of this number: its own two, and two that it shares with the other ranks'."""
    k1, k2 = bucket_keys(draw.key, index)
    s1, s2 = bucket_keys(draw.shared, index)
    return k1, k2, s1, s2
