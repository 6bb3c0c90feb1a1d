"""Level sets with a formula, and the check of any other."""

import numpy as np
from numpy.typing import ArrayLike

from compressors.levels import Array

LEAST = 2.0**-127
"""The least positive level: the least power of 2 whose reciprocal float32 still holds."""


def count(bits: int, zero: bool = True) -> int:
    """Returns the number of magnitudes of a set for ``bits`` bits.

    Raises:
        ValueError: no such set.
    """
    if not 1 + zero <= bits <= 8:
        raise ValueError(f"levels {'with' if zero else 'without'} a zero take from {1 + zero} to 8 bits, not {bits}")
    return int(2 ** (bits - 1))


def uniform(bits: int, zero: bool = True) -> Array:
    """All signed values evenly spaced from -1 to 1 (QSGD, Alistarh et al., NeurIPS 2017)."""
    size = count(bits, zero)
    return to_float32(np.arange(size) / (size - 1) if zero else (2 * np.arange(size) + 1) / (2 * size - 1))


def exponential(bits: int, base: float = 0.5, zero: bool = True) -> Array:
    """Powers of ``base`` from 1 down, beside the zero if any (NUQSGD, Ramezani-Kebrya et al., JMLR 2021).

    Raises:
        ValueError: the base is not between 0 and 1, or its last power is below float32's range.
    """
    if not 0 < base < 1:
        raise ValueError(f"the base of exponential levels must be between 0 and 1, not {base}")
    powers = base ** np.arange(float(count(bits, zero) - zero))[::-1]
    if powers[0] < LEAST:
        raise ValueError(f"powers of {base} for {bits} bits go below 2^-127; take a greater base or fewer bits")
    return to_float32(np.concatenate([[0.0], powers]) if zero else powers)


def ternary() -> Array:
    """Only -1, 0 and 1 (TernGrad, Wen et al., NeurIPS 2017)."""
    return uniform(2)


def kind(levels: Array) -> tuple[int, bool]:
    """Bits of a valid set, and whether it has a zero."""
    return len(levels).bit_length(), bool(levels[0] == 0)


def check(levels: ArrayLike, bits: int, need_zero: bool = False) -> Array:
    """Returns the levels as a valid set for ``bits`` bits, rounded to float32.

    Args:
        levels: 2^(bits-1) magnitudes.
        bits: bits of a coordinate.
        need_zero: refuse a set without zero.

    Raises:
        ValueError: outside [0, 1], not increasing, an endpoint missing, too few or too many.
    """
    given = np.asarray(levels, dtype=np.float64)
    if given.ndim != 1 or not len(given):
        raise ValueError("levels must be a list of numbers from 0 to 1")
    for level in given:
        if not 0 <= level <= 1:
            raise ValueError(f"levels must lie in [0, 1], not at {level:g}")
        if 0 < level < LEAST:
            raise ValueError(f"levels above 0 must be at least 2^-127, not {level:g}")
    rounded = given.astype(np.float32).astype(np.float64)
    steps = np.diff(rounded)
    if (steps <= 0).any():
        i = int(np.argmax(steps <= 0))
        raise ValueError(f"levels must increase, but {given[i]:.9g} is followed by {given[i + 1]:.9g}")
    if need_zero and given[0] != 0:
        raise ValueError(f"the first level must be 0, not {given[0]:g}")
    if given[-1] != 1:
        raise ValueError(f"the last level must be 1, not {given[-1]:g}")
    expected = count(bits, bool(given[0] == 0))
    if len(given) != expected:
        wrong = "few" if len(given) < expected else "many"
        raise ValueError(f"{len(given)} levels are too {wrong} for {bits} bits, which take {expected}")
    return rounded


def to_float32(levels: Array) -> Array:
    """The nearest float32 numbers that still increase from the first, no smaller than ``LEAST`` unless 0, to 1."""
    numbers = levels.astype(np.float32)
    if levels[0] > 0:
        numbers[0] = max(numbers[0], np.float32(LEAST))
    for i in range(len(numbers) - 2, -1, -1):
        numbers[i] = min(numbers[i], np.nextafter(numbers[i + 1], np.float32(0)))
    return numbers.astype(np.float64)
