"""Rounding to tables of values, with a scale for every few coordinates: the definition of every bit, in plain torch.

Consecutive coordinates share a scale, and a table that may differ from group to group. Arithmetic is float64's,
division by the scale included, so the bits depend on neither the device nor the order of anything.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from compressors.kernels.blocks import block_rows
from compressors.kernels.common import chances
from compressors.kernels.strata import Strata

BLOCK = 256
"""Coordinates whose random numbers have one key; a multiple of the length of a group."""


class Table(NamedTuple):
    """Values that a coordinate in units of its scale is rounded to."""

    values: tuple[float, ...]
    """Increasing, from 2 to 256 of them."""
    symbols: tuple[int, ...]
    """The code of each on the wire, from 0 to 255."""

    def decoded(self) -> list[float]:
        """Returns the value of every symbol from 0 to 255; NaN for one that stands for none."""
        found = dict(zip(self.symbols, self.values, strict=True))
        return [found.get(symbol, torch.nan) for symbol in range(256)]


class Grouped(NamedTuple):
    """How the coordinates of a vector are rounded, group by group."""

    length: int
    """Coordinates of a group."""
    tables: tuple[Table, ...]
    chosen: Tensor
    """(groups,) int64: the table of every group."""
    scales: Tensor
    """(groups,) float64; one that is not above zero makes its group zero, or NaN."""


def encode_grouped(
    vector: Tensor, groups: Grouped, key: int | None, symbols: Tensor, strata: Strata | None = None
) -> None:
    """Writes the symbols of one of the two values next to every coordinate; beyond the ends, of the end.

    Args:
        vector: float32, as many coordinates as the groups have.
        groups: scales, and tables of values.
        key: chooses the random numbers that round without bias; None: to the nearest value, of two as near to the one
            with the even symbol.
        symbols: uint8, as long as the vector.
        strata: correlates the random numbers of ranks.
    """
    random = torch.full(vector.shape, 0.5, dtype=torch.float64, device=vector.device)
    if key is not None:
        for first, rows in block_rows(random, BLOCK):
            rows.copy_(chances(rows.shape, key, first, rows.device, strata))
    for place, index, below, gap in _neighbours(vector, groups):
        names = torch.tensor(groups.tables[index].symbols, dtype=torch.uint8, device=vector.device)
        lower, past = below
        threshold = random[place] * gap
        up = threshold < past
        if key is None:
            up |= (threshold == past) & (names[lower + 1] % 2 == 0)
        symbols[place] = names[lower + up]


def decode_grouped(symbols: Tensor, groups: Grouped, vector: Tensor) -> None:
    """Writes the values of symbols times their scales to a float32 vector."""
    values = torch.tensor([table.decoded() for table in groups.tables], dtype=torch.float64, device=symbols.device)
    chosen = groups.chosen.repeat_interleave(groups.length)
    vector.copy_(values[chosen, symbols.long()] * groups.scales.repeat_interleave(groups.length))


def squared_error(vector: Tensor, groups: Grouped, nearest: bool = False) -> float:
    """Returns the squared error of rounding this float32 vector: expected, or that of the nearest values."""
    total = 0.0
    for place, _, (_, past), gap in _neighbours(vector, groups):
        scales = groups.scales.repeat_interleave(groups.length)[place]
        left = gap - past
        error = torch.where(past > gap / 2, left, past).square() if nearest else past * left
        total += float((error * scales.square()).sum())
    return total


def _neighbours(vector: Tensor, groups: Grouped) -> list[tuple[Tensor, int, tuple[Tensor, Tensor], Tensor]]:
    """For every table: places, its number, the lower neighbours with the way past them, and the gaps above these."""
    chosen = groups.chosen.repeat_interleave(groups.length)
    scales = groups.scales.repeat_interleave(groups.length)
    units = torch.where(scales > 0, vector.double() / scales, 0.0)
    found = []
    for index, table in enumerate(groups.tables):
        place = torch.nonzero(chosen == index).squeeze(1)
        values = torch.tensor(table.values, dtype=torch.float64, device=vector.device)
        unit = units[place]
        lower = (torch.searchsorted(values, unit, right=True) - 1).clamp(0, len(values) - 2)
        found.append((place, index, (lower, unit - values[lower]), values[lower + 1] - values[lower]))
    return found
