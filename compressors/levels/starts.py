"""Level sets that the search for free levels starts from."""

import numpy as np

from compressors.levels import Array, sets
from compressors.levels.distribution import Histogram

POINTS = 257
"""Points of the grid of ``_best_on_grid``."""


def free_starts(previous: Array, histogram: Histogram) -> dict[str, Array]:
    """Returns sets of the same size as ``previous``, and with a zero if that has one."""
    bits, zero = sets.kind(previous)
    return {
        "previous": previous,
        "uniform": sets.uniform(bits, zero),
        "exponential": sets.exponential(bits, zero=zero),
        "quantile": _quantiles(len(previous), zero, histogram, 1),
        "grid": _best_on_grid(len(previous), zero, histogram),
    }


def _quantiles(size: int, zero: bool, histogram: Histogram, power: float) -> Array:
    """Levels as dense as a power of the density, nudged apart by a thousandth of even ones.

    Power 1 puts the same mass between all levels. 1/3 is the best for very many levels: an interval
    of width h costs h^2 / 6 of its mass (Panter and Dite, 1951).
    """
    widths = np.diff(histogram.edges)
    upto = np.cumsum(np.append(0.0, histogram.mass**power * widths ** (1 - power)))
    even = np.linspace(0 if zero else 1 / size, 1, size)
    levels = 0.999 * np.interp(even * upto[-1], upto, histogram.edges) + 0.001 * even
    return sets.to_float32(np.where(even > 0, levels, 0.0))


def _best_on_grid(size: int, zero: bool, histogram: Histogram) -> Array:
    """The cheapest levels among the points of a grid, found by dynamic programming (Zhang et al., ICML 2017).

    It keeps the descent out of poor local minima, which a rugged histogram has.
    """
    grid = _quantiles(POINTS, True, histogram, 1 / 3)
    upto = histogram.moments(grid)
    mass, first, second = upto[:, None, :] - upto[:, :, None]
    low, high = grid[:, None], grid[None, :]
    cost = np.where(low < high, (low + high) * first - second - low * high * mass, np.inf)
    first_cost = 0.0 if zero else grid**2 * upto[0] - upto[2]
    least = np.where((grid == 0) == zero, first_cost, np.inf)
    best_before = []  # for every number of levels and last level, the level before it
    for _ in range(size - 1):
        total = least[:, None] + cost
        best_before.append(total.argmin(axis=0))
        least = total.min(axis=0)
    chosen = [POINTS - 1]
    for before in reversed(best_before):
        chosen.append(before[chosen[-1]])
    return grid[chosen[::-1]]
