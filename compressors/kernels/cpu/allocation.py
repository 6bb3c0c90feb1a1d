"""The search of ``compressors.variable`` for the gain that a bit must bring."""

import numpy as np
from numpy.typing import NDArray

from compressors.kernels.cpu.lanes import kernel

Array = NDArray[np.float64]


def water_level(costs: Array, gains: Array, least: float, budget: float, low: float, high: float) -> float:
    ordered = np.sort(costs)
    roots = np.concatenate([[0.0], np.cumsum(np.sqrt(ordered))])
    level: float = _bisect(ordered, roots, gains, least, budget, low, high)
    return level


@kernel
def _bisect(ordered, roots, gains, least, budget, low, high):
    for _ in range(40):
        middle = (low + high) / 2
        spent = _spent(ordered, roots, gains, least, 2.0**middle)
        if spent <= budget - 1e-9 or spent == budget:
            high = middle
        else:
            low = middle
    return 2.0**high


@kernel
def _spent(ordered, roots, gains, least, level):
    """Bits, and probabilities below one, of increasing costs; ``roots`` are the sums of their first square roots."""
    bits = 0
    for gain in gains:
        bits += len(ordered) - np.searchsorted(ordered, level / gain)
    whole = np.searchsorted(ordered, level / gains[0])
    rare = np.searchsorted(ordered, level / gains[0] * least * least)
    return bits + (roots[whole] - roots[rare]) * np.sqrt(gains[0] / level) + least * rare
