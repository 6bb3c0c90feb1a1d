"""The cost of a level set under a distribution of magnitudes."""

import numpy as np

from compressors.levels import Array
from compressors.levels.distribution import Distribution


def variance(levels: Array, distribution: Distribution) -> float:
    """Returns the expected variance of a coordinate, in units of its bucket's squared norm.

    The integral of (b - u)(u - a) dF over each interval [a, b] between levels (Q-GenX, section 3).
    """
    low, high, (mass, first, second) = _intervals(levels, distribution)
    return float(np.maximum((low + high) * first - second - low * high * mass, 0).sum())


def relative_error(levels: Array, distribution: Distribution) -> float:
    """Returns E||Q(v) - v||^2 / ||v||^2 of the vector that the distribution describes; 0 if it is empty."""
    return 0.0 if distribution.empty else variance(levels, distribution) / float(distribution.moments([1.0])[2, 0])


def gradient(levels: Array, distribution: Distribution) -> Array:
    """Derivative of ``variance`` by every level; 0 for the fixed ones, which are 1 and the zero.

    By l_j: the integral of (u - l_(j-1)) dF below it less that of (l_(j+1) - u) dF above it.
    """
    low, high, (mass, first, _) = _intervals(levels, distribution)
    below, above = first - low * mass, high * mass - first
    inner = below[:-1] - above[1:]
    if levels[0] == 0:
        return np.concatenate([[0.0], inner, [0.0]])
    inner[:1] += above[:1]  # without zero the first interval is [-l_0, l_0], and both its ends move
    return np.append(inner, 0.0)


def probabilities(levels: Array, distribution: Distribution) -> Array:
    """Returns the probability that a coordinate goes to each level (either sign), the zero level first.

    Not the share of coordinates: buckets count as in the distribution.
    """
    low, high, (mass, first, _) = _intervals(levels, distribution)
    up = np.clip((first - low * mass) / (high - low), 0, mass)
    ends = np.append(mass - up, 0.0)
    ends[1:] += up
    if levels[0] == 0:
        return ends
    return np.append(ends[0] + ends[1], ends[2:])


def _intervals(levels: Array, distribution: Distribution) -> tuple[Array, Array, Array]:
    """Lower and upper ends (n,) of the intervals, and the three moments (3, n) of the mass in each.

    Without zero the first interval is [-l_0, l_0]: all its mass is at or above 0.
    """
    ends = levels if levels[0] == 0 else np.concatenate([-levels[:1], levels])
    return ends[:-1], ends[1:], np.diff(distribution.moments(ends[1:]), axis=1, prepend=0.0)
