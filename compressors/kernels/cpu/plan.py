"""A layout as the kernels want it."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compressors.kernels.layout import Layout

NORMS = {"l2": 0, "linf": 1, "range": 2, "l1": 3, "projection": 4}
L2, LINF, RANGE, L1, PROJECTION = NORMS.values()

Floats = NDArray[np.float32]


class Plan(NamedTuple):
    """A layout in numbers and arrays."""

    bits: int
    bucket_size: int
    levels: int
    offset: float
    norm: int
    dithered: bool
    points: Floats
    """2^bits of them, at least 16: the last stands for codes that do not occur. Empty for a grid."""
    tree: Floats
    """``search_tree`` of the points, or of the thresholds between them if the nearest is wanted."""


@lru_cache(maxsize=256)
def plan(layout: Layout) -> Plan:
    """The plan of a layout; its arrays are shared and must not be written to."""
    points = tree = np.array(layout.points, np.float32)
    if layout.norm == "projection":
        tree = search_tree([-np.inf, *(points[1:] + points[:-1]) / np.float32(2), np.inf], layout.bits)
    elif layout.points:
        tree = search_tree(points, layout.bits)
    if layout.points:
        points = _fill_up(points, max(16, 2**layout.bits))
    numbers = layout.bits, layout.bucket_size, layout.levels, float(layout.offset), NORMS[layout.norm], layout.dithered
    return Plan(*numbers, points, tree)


def search_tree(edges: Any, bits: int) -> Floats:
    """Tables to find between which of up to 2^bits + 1 increasing edges a number lies, by bisection.

    Six tables of 16 first. Four are the pivots of a step each, indexed by the upper four bits of the result as far as
    they are known, the others 0; then the lower and the upper edge of what these four bits say. Every further bit
    has a table of pivots, indexed by the bits before it. What is missing is filled up with the last edge.
    """
    bits = max(bits, 4)
    edge = _fill_up(np.asarray(edges, np.float32), 2**bits + 1)
    sixteenth, place = 2 ** (bits - 4), np.arange(16)
    pivots = [edge[((place & -2 * half) + half) * sixteenth] for half in (8, 4, 2, 1)]
    finer = [edge[2 ** (bits - step - 1) :: 2 ** (bits - step)] for step in range(4, bits)]
    return np.concatenate([*pivots, edge[place * sixteenth], edge[(place + 1) * sixteenth], *finer])


def _fill_up(numbers: Floats, length: int) -> Floats:
    """The numbers, the last repeated."""
    return np.pad(numbers, (0, length - len(numbers)), "edge")


class Scratch(NamedTuple):
    """Room for one bucket, in the nearest cache."""

    row: Floats
    values: Floats
    codes: NDArray[np.uint8]
    sums: NDArray[np.float64]


def scratch_for(numel: int) -> Scratch:
    """Room for buckets of up to so many coordinates."""
    size = max(128, 1 << (numel - 1).bit_length())
    return Scratch(
        np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.uint8), np.empty(size // 8 + 112)
    )
