"""Moving the levels of a set to where they cost less. Its last level, 1, and its zero stay."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from compressors.levels import Array
from compressors.levels.distribution import Histogram
from compressors.levels.objective import gradient, variance
from compressors.levels.sets import LEAST

SWEEPS = 200
STEPS = 500
ENOUGH = 1e-7
"""Stop when a sweep or step lowers the variance by less than this part."""
APART = 1e-6
"""Levels keep this part of the gap between their neighbours as distance from either."""


def coordinate_descent(levels: Array, histogram: Histogram) -> Array:
    """ALQ: every other level goes to its best place between its neighbours, then the rest, and again.

    The best place of l between its neighbours a and c has derivative zero,

        integral of (u - a) dF over [a, l] = integral of (c - u) dF over [l, c],

    and after dividing by c - a that is F(l) = F(c) - integral of (u - a) / (c - a) dF over [a, c].
    Source: Faghri et al.
    """
    levels = levels.copy()
    before = np.inf
    for _ in range(SWEEPS):
        now = variance(levels, histogram)
        if now >= before * (1 - ENOUGH):
            break
        before = now
        _move_first(levels, histogram)
        for first in (1, 2):
            _move(levels, np.arange(first, len(levels) - 1, 2), histogram)
    return levels


def _move(levels: Array, j: NDArray[np.int64], histogram: Histogram) -> None:
    """Puts the levels ``j``, no two of them neighbours, to their best places."""
    low, high = levels[j - 1], levels[j + 1]
    upto = histogram.moments(high)
    mass, first, _ = upto - histogram.moments(low)
    above = np.clip((first - low * mass) / (high - low), 0, mass)
    margin = APART * (high - low)
    best = np.clip(histogram.quantile(upto[0] - above), low + margin, high - margin)
    levels[j] = np.where(mass > 0, best, levels[j])


def _move_first(levels: Array, histogram: Histogram) -> None:
    """The same for the first level of a set without zero, where the derivative increases but has no such form."""
    if levels[0] in (0, 1):
        return

    def derivative(level: float) -> float:
        return float(gradient(np.array([level, levels[1]]), histogram)[0])

    low, high = max(APART * levels[1], LEAST), (1 - APART) * levels[1]
    if derivative(low) >= 0:
        levels[0] = low
    elif derivative(high) <= 0:
        levels[0] = high
    else:
        levels[0] = brentq(derivative, low, high)


def gradient_descent(levels: Array, histogram: Histogram) -> Array:
    """ALQG: all levels move at once against the gradient, by less than half the way to the nearer neighbour.

    The gradient is divided by the mass between a level's neighbours. That makes a length of it, so
    that a rate of 1 suits every scale. A step that would not lower the variance is not made, and
    the rate is halved. Source: Faghri et al., there with one constant rate.
    """
    rate, now = 1.0, variance(levels, histogram)
    for _ in range(STEPS):
        trial = levels - _step(levels, rate, histogram)
        after = variance(trial, histogram)
        if after < now * (1 - ENOUGH * rate):
            levels, now, rate = trial, after, min(1.0, 1.5 * rate)
        elif rate > APART:
            rate /= 2
        else:
            break
    return levels


def _step(levels: Array, rate: float, histogram: Histogram) -> Array:
    upto = histogram.moments(levels)[0]
    around = np.append(upto[1:], upto[-1]) - np.append(0.0, upto[:-1])
    slope = gradient(levels, histogram)
    step: Array = rate * np.divide(slope, around, out=np.zeros_like(slope), where=around > 0)
    gaps = np.diff(levels, prepend=0.0, append=1.0)
    room = 0.49 * np.minimum(gaps[:-1], gaps[1:])
    return np.clip(step, -room, room)
