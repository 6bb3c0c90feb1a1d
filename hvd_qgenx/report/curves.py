"""Curves over runs that differ in their seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hvd_qgenx.report.recorded import Array, Table


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over runs; the deviation of a single run is None."""

    mean: float
    deviation: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float] | Array) -> "Spread | None":
        """Returns the spread of the finite values; None if there are none."""
        finite = [float(value) for value in values if np.isfinite(value)]
        if not finite:
            return None
        deviation = float(np.std(finite, ddof=1)) if len(finite) > 1 else None
        return cls(float(np.mean(finite)), deviation, len(finite))


@dataclass(frozen=True)
class Curve:
    """A column of several runs at the same n updates."""

    update: Array
    epochs: Array
    """(n,): mean over runs; NaN where runs are not counted in epochs."""
    seconds: Array
    """(n,): seconds of training so far, mean over runs."""
    megabytes: Array
    """(n,): MB sent by one rank so far, mean over runs."""
    values: Array
    """(runs, n)"""

    @property
    def mean(self) -> Array:
        mean: Array = self.values.mean(0)
        return mean


def curve(tables: Sequence[Table], column: str) -> Curve | None:
    """Aligns runs at every update at which any of them has the column, within the range that all of them cover.

    Runs are interpolated linearly between their own updates. If the runs have no range in common, only the longest
    one is used. Returns None if no run has the column.
    """
    runs = [(table, np.isfinite(table[column])) for table in tables]
    runs = [(table, kept) for table, kept in runs if kept.any()]
    if not runs:
        return None
    places = [table["update"][kept] for table, kept in runs]
    grid = np.unique(np.concatenate(places))
    grid = grid[(grid >= max(own[0] for own in places)) & (grid <= min(own[-1] for own in places))]
    if not len(grid):
        return curve([max((table for table, _ in runs), key=lambda table: table["update"][-1])], column)

    def aligned(name: str) -> Array:
        return np.array(
            [np.interp(grid, own, table[name][kept]) for own, (table, kept) in zip(places, runs, strict=True)]
        )

    return Curve(
        grid,
        aligned("epoch").mean(0),
        aligned("seconds/elapsed").mean(0),
        aligned("traffic/megabytes").mean(0),
        aligned(column),
    )


def per_update(table: Table, column: str) -> float:
    """Returns the mean per update, over a whole run, of a column that holds means since the previous row."""
    weights = np.diff(table["update"], prepend=0)
    known = np.isfinite(table[column])
    total = weights[known].sum()
    return float((table[column][known] * weights[known]).sum() / total) if total > 0 else float("nan")
