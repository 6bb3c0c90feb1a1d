"""Bits shared out among groups of coordinates, so that the sum of their errors is least.

Group g has d_g coordinates and costs e_g(b) at b bits, which falls with b and is convex for fitted levels. Wanted is

    minimize sum_g e_g(b_g)   subject to   sum_g d_g b_g <= B,

a knapsack of which every group takes one item. Without whole bits the optimum has equal gains per bit: with a
multiplier m every group takes the b that makes e_g(b) + m d_g b least. For any m,

    sum_g min_b (e_g(b) + m d_g b) - m B

is a lower bound of the optimum (Lagrange). Here it leaves a search of all choices next to nothing to look at.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from compressors.levels import Array

NARROWEST, WIDEST = 2, 8


def share_out(error: Callable[[str, int], float], sizes: Mapping[str, int], bits: float) -> dict[str, int]:
    """Returns the width of every group, from 2 to 8 bits, at which the sum of errors is least.

    Widths are tried from the narrowest on, and a group's next one only once the one before has been the best: errors
    are expensive to know, and convex.

    Args:
        error: of a group at a width.
        sizes: coordinates of every group.
        bits: of a coordinate on average, at most; from 2 on.
    """
    counts = np.array(list(sizes.values()), dtype=np.int64)
    tried = {group: [error(group, NARROWEST)] for group in sizes}
    growing = set(sizes)
    while growing:
        for group in growing:
            tried[group].append(error(group, NARROWEST + len(tried[group])))
        widest = max(map(len, tried.values()))
        errors = np.array([[*found, *[np.inf] * (widest - len(found))] for found in tried.values()])
        costs = counts[:, None] * np.arange(NARROWEST, NARROWEST + widest)
        chosen = dict(zip(sizes, choose(errors, costs, int(bits * counts.sum())), strict=True))
        growing = {
            group
            for group, index in chosen.items()
            if index == len(tried[group]) - 1 and NARROWEST + len(tried[group]) <= WIDEST
        }
    return {group: NARROWEST + index for group, index in chosen.items()}


def choose(errors: Array, costs: NDArray[np.int64], budget: int) -> list[int]:
    """Returns the index of one option for every group, of least total error at a total cost of at most ``budget``.

    Args:
        errors: (groups, options); infinite for options that there are not.
        costs: likewise, increasing along each row.
        budget: at least the sum of the first options' costs.
    """
    multiplier, limit = _multiplier(errors, costs, budget)
    relaxed = (errors + multiplier * costs).min(axis=1)
    after = np.append(np.cumsum(relaxed[::-1])[::-1][1:], 0.0) - multiplier * budget
    cheapest = np.append(np.cumsum(costs[::-1, 0])[::-1][1:], 0)
    spent, total = np.zeros(1, np.int64), np.zeros(1)
    steps = []
    for own, cost, bound, least in zip(errors, costs, after, cheapest, strict=True):
        now, error = (spent[:, None] + cost).ravel(), (total[:, None] + own).ravel()
        kept = np.flatnonzero((now + least <= budget) & (error + multiplier * now + bound <= limit))
        kept = kept[np.lexsort((error[kept], now[kept]))]
        best_before = np.minimum.accumulate(np.append(np.inf, error[kept]))[:-1]
        kept = kept[error[kept] < best_before]
        spent, total = now[kept], error[kept]
        steps.append(np.divmod(kept, len(own)))
    place, chosen = len(total) - 1, []
    for before, option in reversed(steps):
        chosen.append(int(option[place]))
        place = before[place]
    return chosen[::-1]


def _multiplier(errors: Array, costs: NDArray[np.int64], budget: int) -> tuple[float, float]:
    """Returns the multiplier at which groups on their own keep to the budget, and an error that can be reached."""

    def take(multiplier: float) -> tuple[int, float]:
        options = (errors + multiplier * costs).argmin(axis=1)[:, None]
        spent, error = np.take_along_axis(costs, options, 1).sum(), np.take_along_axis(errors, options, 1).sum()
        return int(spent), float(error)

    low, high = 0.0, float(errors[:, 0].sum())  # where one bit more costs at least all errors
    if take(low)[0] <= budget:
        high = low
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if take(middle)[0] <= budget else (middle, high)
    reached = take(high)[1]
    return high, reached + 1e-9 * abs(reached)
