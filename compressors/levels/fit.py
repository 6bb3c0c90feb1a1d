"""Choosing a level set for a distribution of magnitudes."""

from collections.abc import Callable
from dataclasses import dataclass

from compressors.levels import Array, multiplier, sets
from compressors.levels.descent import coordinate_descent, gradient_descent
from compressors.levels.distribution import Distribution, Histogram
from compressors.levels.objective import variance
from compressors.levels.starts import free_starts
from compressors.naming import unknown


@dataclass(frozen=True)
class Fit:
    """The chosen levels, and the costs of the candidates (see ``objective.variance``)."""

    levels: Array
    variance: float
    previous: float
    """Variance of the set in use before."""
    starts: dict[str, float]
    """Variance of every set that the search started from; none is below ``variance``."""


def fit(method: str, distribution: Distribution, previous: Array) -> Fit:
    """Returns the cheapest set found, of as many levels as ``previous``, and with a zero if that has one.

    Deterministic. The levels are float32 numbers. If the distribution is empty, ``previous`` stays.

    Args:
        method: one of ``METHODS``.
        distribution: of the normalised magnitudes.
        previous: the set in use, valid (``sets.check``). The search starts from it too, unless
            ``amq`` could not have made it.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(unknown("method", method, METHODS))
    old = variance(previous, distribution)
    if distribution.empty:
        return Fit(previous, old, old, {})
    begin, improve = METHODS[method]
    histogram = distribution.histogram()
    starts = begin(previous, histogram)
    ends = {f"{name}, improved": sets.to_float32(improve(levels, histogram)) for name, levels in starts.items()}
    candidates = starts | ends
    costs = {name: variance(levels, distribution) for name, levels in candidates.items()}
    best = min(candidates, key=lambda name: costs[name])
    return Fit(candidates[best], costs[best], old, {name: costs[name] for name in starts})


METHODS: dict[str, tuple[Callable[[Array, Histogram], dict[str, Array]], Callable[[Array, Histogram], Array]]] = {
    "alq": (free_starts, coordinate_descent),
    "alq-gd": (free_starts, gradient_descent),
    "amq": (multiplier.starts, multiplier.improve),
}
"""By name: the function that returns the starts, and the function that improves one."""
