"""AMQ: sets whose levels are powers of one multiplier, and the best multiplier."""

import numpy as np
from scipy.optimize import minimize_scalar

from compressors.levels import Array
from compressors.levels.distribution import Histogram
from compressors.levels.objective import variance
from compressors.levels.sets import LEAST, count, exponential, kind

MULTIPLIERS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
"""Starts of the search (Faghri et al. take most of these)."""


def starts(previous: Array, histogram: Histogram) -> dict[str, Array]:  # noqa: ARG001
    """Powers of each number, and ``previous`` if it is a set of powers too."""
    bits, zero = kind(previous)
    found = {f"powers of {base}": exponential(bits, base, zero) for base in _multipliers(bits, zero)}
    if _has_powers(previous):
        found["previous"] = previous
    return found


def improve(levels: Array, histogram: Histogram) -> Array:
    """Powers of the number that costs least near that of ``levels`` (Faghri et al.)."""
    bits, zero = kind(levels)
    exponent = _exponent(bits, zero)
    if exponent == 0:
        return levels
    bases = np.array([LEAST ** (1 / exponent) * (1 + 1e-9), *_multipliers(bits, zero), 0.999])
    nearest = int(np.abs(bases[1:-1] - levels[-2]).argmin()) + 1
    found = minimize_scalar(
        lambda base: variance(exponential(bits, base, zero), histogram),
        bounds=(bases[nearest - 1], bases[nearest + 1]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return exponential(bits, float(found.x), zero)


def _multipliers(bits: int, zero: bool) -> list[float]:
    """Returns the ``MULTIPLIERS`` whose powers are all in range."""
    return [base for base in MULTIPLIERS if base ** _exponent(bits, zero) >= LEAST]


def _exponent(bits: int, zero: bool) -> int:
    """The exponent of the least power in a set."""
    return count(bits, zero) - zero - 1


def _has_powers(levels: Array) -> bool:
    powers = levels[1:] if levels[0] == 0 else levels
    return len(powers) < 2 or np.allclose(powers[1:] * powers[-2], powers[:-1], rtol=1e-5, atol=0)
