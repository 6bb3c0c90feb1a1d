"""How the random numbers of ranks are correlated."""

from typing import NamedTuple

SECTION = 0x9E3779B1
"""The golden section of 2^32, as an odd number."""


class Strata(NamedTuple):
    """Correlates the random numbers of ranks, so that their rounding errors cancel in the mean.

    For every coordinate the ranks share a random rotation of the n parts of [0, 1), of which each has one for itself:
    a rank's number is still uniform, and independent of its vector. Numbers must be used in the order of values, not
    of magnitudes, so that errors of opposite coordinates cancel too. Source: Suresh et al., "Correlated quantization
    for distributed mean estimation and optimization" (ICML 2022).

    Rotations of neighbouring coordinates of a bucket are golden sections apart, from a random one on: each is uniform,
    which is all that matters, and costs less than a hash.
    """

    key: int
    """Chooses the rotations; the same on all ranks."""
    rank: int
    ranks: int


def basis_key(key: int, strata: Strata | None) -> int:
    """Returns the key of a random basis: coordinates of ranks must mean the same for their errors to cancel."""
    return key if strata is None else strata.key
