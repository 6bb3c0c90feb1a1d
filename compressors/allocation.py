"""How bits are shared out to blocks, so that the error is least."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from compressors import kernels
from compressors.deferred import Deferred
from compressors.random import derive
from compressors.rotated import relative_error

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
else:
    np, torch = Deferred("numpy"), Deferred("torch")

Array: TypeAlias = "NDArray[np.float64]"

WIDEST = 8
"""The widest codes; a bucket with more bits is quantized twice."""
DEEPEST = 14
"""The largest width of a bucket that is quantized twice."""
RAREST = 2.0**-20
"""Least probability of sending a bucket that is not zero."""


def allocate(costs: Array, budget: int, widest: int = WIDEST) -> tuple[Array, NDArray[np.int64]]:
    """Probabilities of sending, and widths, that make the sum of costs times relative errors least.

    A block of cost c has the error c (r(1) + 1) / p - c if sent with probability p at one bit, and
    c r(b) at b bits. At the optimum all gains per bit are equal: p = sqrt(c (r(1) + 1) / level)
    while that is below 1, and a further bit wherever c (r(b) - r(b + 1)) reaches the level.

    Bits are whole, so some of the budget is left at the lowest level that keeps it. Blocks with the largest gains
    below the level, the first of equal ones, get a bit more; the rest of less than a bit raises probabilities, or these
    give up what is missing to a bit, whichever has the smaller error.

    Args:
        costs: (count,), not negative; NaN or Inf gives a NaN probability.
        budget: the sum over blocks of probability or width is at most this.
        widest: the largest width.
    """
    known = np.isfinite(costs)
    positive = known & (costs > 0)
    if positive.all() and len(costs):
        return _allocate(costs, budget, widest)
    chances, widths = np.where(known, 0.0, np.nan), np.ones(len(costs), np.int64)
    if positive.any():
        chances[positive], widths[positive] = _allocate(costs[positive], budget, widest)
    return chances, widths


def _allocate(costs: Array, budget: int, widest: int) -> tuple[Array, NDArray[np.int64]]:
    """``allocate`` for finite costs above zero."""
    gains = _gains(widest)
    low, high = np.log2(costs.min() * gains[-1]) - 1, np.log2(costs.max()) + 42
    level = kernels.for_device(torch.device("cpu")).water_level(costs, gains, RAREST, budget, low, high)
    widths = 1 + (costs[:, None] * gains[1:] >= level).sum(axis=1)
    chances = np.minimum(np.maximum(np.sqrt(costs * (gains[0] / level)), RAREST), 1.0)
    certain = chances >= 1
    spare = int(budget - np.where(certain, widths, chances).sum())
    ahead = np.where(certain & (widths < widest), costs * gains[np.minimum(widths, widest - 1)], 0.0)
    if certain.all():
        return chances, widths + _largest(ahead, spare)
    options = (_spend(costs, widths + _largest(ahead, count), budget) for count in (spare, spare + 1))
    best = min(options, key=lambda option: option[0])
    return best[1], best[2]


def _spend(costs: Array, widths: NDArray[np.int64], budget: int) -> tuple[float, Array, NDArray[np.int64]]:
    """Gives what the wider blocks leave of the budget to those of one bit; returns an error, chances and widths."""
    single = widths == 1
    left = budget - int(widths[~single].sum())
    if left < RAREST * np.count_nonzero(single):
        return np.inf, np.ones(len(costs)), widths
    chances = np.ones(len(costs))
    chances[single] = _odds(costs[single], left)
    return float((costs * (1 + errors(DEEPEST)[widths - 1]) / chances).sum()), chances, widths


def _largest(values: Array, count: int) -> NDArray[np.bool_]:
    """Marks the ``count`` largest values, of equal ones the first; none that are not above zero."""
    count = min(count, int(np.count_nonzero(values)))
    if not count:
        return np.zeros(len(values), bool)
    least = np.partition(values, -count)[-count]
    chosen: NDArray[np.bool_] = values > least
    chosen[np.flatnonzero(values == least)[: count - np.count_nonzero(chosen)]] = True
    return chosen


def _odds(costs: Array, total: float) -> Array:
    """Returns the probabilities that make the sum of costs over them least, and whose sum is at most ``total``.

    They are as the square roots of the costs, as long as that is below 1 and not below ``RAREST``.
    """
    if total >= len(costs):
        return np.ones(len(costs))
    total -= RAREST * len(costs)
    roots = np.sqrt(costs)
    falling = np.sort(roots)[::-1]
    sums = np.cumsum(falling[::-1])[::-1]
    certain = np.count_nonzero(falling * (total - np.arange(len(falling))) >= sums)
    odds: Array = np.minimum(np.maximum(roots * ((total - certain) / sums[certain]), RAREST), 1.0)
    return odds


def drawn(chances: Array, key: int) -> NDArray[np.bool_]:
    """Draws the blocks that are sent, by systematic sampling: their number is the expected one, rounded."""
    below = np.where(chances < 1, chances, 0.0)
    sums = np.concatenate([[0.0], np.cumsum(below)])
    marks = np.minimum(np.floor(sums + derive(key, 3) / 2.0**64), math.ceil(sums[-1] - 1e-9))
    chosen: NDArray[np.bool_] = (np.diff(marks) > 0) | (chances >= 1)
    return chosen


@lru_cache
def errors(widest: int, of_scale: float = 0.0) -> Array:
    """Relative errors at 1, 2, ..., ``widest`` bits, where scales themselves have the relative error ``of_scale``."""
    exact = [relative_error(width) for width in range(1, WIDEST + 1)]
    single = [error + of_scale * (1 + error) for error in exact]
    twice = [single[-1] * single[width - WIDEST - 1] for width in range(WIDEST + 1, widest + 1)]
    return np.array([*single, *twice])


@lru_cache
def _gains(widest: int) -> Array:
    """Returns the decrease of the relative error by the first bit and by every further one; none above those before."""
    left = errors(widest)
    gains: Array = np.minimum.accumulate(np.concatenate([[1 + left[0]], left[:-1] - left[1:]]))
    return gains
