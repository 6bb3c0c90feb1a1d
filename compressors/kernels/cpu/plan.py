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
    """2^bits of them, at least 16: the last stands for codes that do not occur. Empty for a grid, like the rest."""
    gaps: Floats
    """From every point to the next."""
    tree: Floats
    """``search_tree`` of the points."""


@lru_cache(maxsize=256)
def plan(layout: Layout) -> Plan:
    """The plan of a layout; its arrays are shared and must not be written to."""
    points = gaps = tree = np.array(layout.points, np.float32)
    if layout.points:
        tree = search_tree(points, layout.bits)
        points = np.pad(points, (0, max(16, 2**layout.bits) - len(points)), "edge")
        gaps = np.diff(points, append=points[-1:])
    numbers = layout.bits, layout.bucket_size, layout.levels, float(layout.offset), NORMS[layout.norm], layout.dithered
    return Plan(*numbers, points, gaps, tree)


def search_tree(points: Floats, bits: int) -> Floats:
    """A heap in which to find the last of up to 2^bits points, but the greatest, that is not above a number.

    The root is at 1, the children of node h are at 2 h and 2 h + 1; the way right from h leads to the points from
    the one at h on, and after ``bits`` steps, but at least 4, the node less the number of points is the point's.
    Numbers are compared as ``norms.ordered`` integers, hence the heap holds those of the points, less one; a
    point of 2, which no number reaches, stands for those that do not exist. The dtype is only what tables have.
    """
    steps = max(bits, 4)
    pivots = np.full(2**steps, 2, np.float32)
    pivots[: len(points) - 1] = points[:-1] + np.float32(0)  # -0.0 becomes 0.0
    words = pivots.view(np.int32)
    words = np.where(words < 0, words ^ 0x7FFFFFFF, words) - 1
    heap = np.zeros(2**steps, np.int32)
    for step in range(steps):
        heap[2**step : 2 ** (step + 1)] = words[2 ** (steps - 1 - step) :: 2 ** (steps - step)]
    return heap.view(np.float32)


class Scratch(NamedTuple):
    """Room for one bucket, in the nearest cache."""

    row: Floats
    codes: NDArray[np.uint8]
    sums: NDArray[np.float64]


def scratch_for(numel: int) -> Scratch:
    """Room for buckets of up to so many coordinates."""
    size = max(128, 1 << (numel - 1).bit_length())
    return Scratch(aligned(size, np.float32), aligned(size, np.uint8), aligned(size // 8 + 112, np.float64))


def aligned(size: int, dtype: type) -> NDArray[Any]:
    """An array that begins at a line of cache."""
    data = np.empty(size * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -data.ctypes.data % 64
    return data[start : len(data) - 64 + start].view(dtype)
