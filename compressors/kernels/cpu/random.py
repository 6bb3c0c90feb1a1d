"""Random numbers of a place in a bucket."""

from typing import NamedTuple

import numpy as np
from numba import uint32, uint64

from compressors.kernels.cpu.lanes import choose, fill, floor, inline, places, to_float
from compressors.kernels.strata import SECTION, Strata
from compressors.random import GOLDEN


class Draw(NamedTuple):
    """Keys and strata of the random numbers of a vector."""

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
def chances(draw, keys, i):
    """Uniform float32 for 16 places from ``i`` on in a bucket with these keys, multiples of 2^-24 in [0, 1).

    If they are drawn together, they are in this rank's parts of [0, 1].
    """
    own = _fraction(random_words(places() + fill(uint32(keys[0] + uint32(i))), fill(keys[1])))
    if draw.together:
        ranks, section = fill(draw.ranks), uint32(SECTION)
        rotation = places() * fill(section) + fill(uint32(keys[2] + uint32(i) * section))
        part = floor(_fraction(rotation) * ranks) + fill(draw.rank)
        own = (choose(part < ranks, part, part - ranks) + own) * fill(draw.part)
    return own


@inline
def _fraction(words):
    return to_float(words >> fill(uint32(8))) * fill(np.float32(2.0**-24))


@inline
def keys_of(draw, index):
    """The keys of the bucket of this number: its own two, and one that it shares with the other ranks'."""
    k1, k2 = bucket_keys(draw.key, index)
    return k1, k2, bucket_keys(draw.shared, index)[0]
