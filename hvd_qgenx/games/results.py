"""Results of a comparison: rows for a file, curves over seeds, rates, and a table."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from hvd_qgenx.games.compare import Play
from hvd_qgenx.games.play import Record
from hvd_qgenx.tables import drawn

COLUMNS = (
    "method",
    "compressor",
    "workers",
    "noise",
    "seed",
    "t",
    "gap",
    "distance",
    "megabytes",
    "oracle_calls",
    "exchanges",
    "gamma",
)

Array = NDArray[np.float64]


class Case(NamedTuple):
    """A combination that is compared; its plays differ only in the seed."""

    method: str
    compressor: str
    workers: int
    noise: str


@dataclass(frozen=True)
class Curves:
    """All plays of one case, at the times that all of them reached."""

    case: Case
    t: Array
    """(n,)"""
    gaps: Array
    """(seeds, n): gaps of the ergodic averages."""
    distances: Array
    """(seeds, n): distances of the last iterates from the solution; NaN where none is known."""
    megabytes: Array
    """(n,): MB that one worker has sent."""
    shown: Array
    """(n, 2): first coordinates of the first and the last player, of the first seed."""
    last: dict[str, float]
    """Oracle calls, exchanges and mean gamma at the end."""
    diverged_at: list[int]
    """The iterations at which plays of this case diverged, in order of their seeds."""

    def at(self, t: int, values: Array) -> tuple[float, float | None] | None:
        """Returns mean and standard deviation over seeds at time t; None if a play ended before."""
        found = np.flatnonzero(self.t == t)
        return _statistics(values[:, found[0]]) if len(found) else None


class Results:
    """The records of all plays of one game.

    Args:
        game: its name.
        gap_name: the name of the gap that is measured.
        plays, records: in the same order.
        against: a method among those played: how many of its exchanges do other methods need for its gap?
    """

    def __init__(
        self, game: str, gap_name: str, plays: Sequence[Play], records: Sequence[Record], against: str | None = None
    ) -> None:
        self.game, self.gap_name, self.against = game, gap_name, against
        self.plays, self.records = plays, records
        self.iterations = plays[0].iterations
        by_case: dict[Case, list[Record]] = {}
        for play, record in zip(plays, records, strict=True):
            case = Case(play.method, play.compressor[0], play.workers, play.noise[0])
            by_case.setdefault(case, []).append(record)
        self.curves = [_curves(case, found) for case, found in by_case.items()]

    @property
    def fit(self) -> tuple[int, int]:
        """First and last time of the fit of rates: two decades from 10,000 iterations on, else one."""
        return max(1, self.iterations // (100 if self.iterations >= 10_000 else 10)), self.iterations

    def slope(self, curves: Curves) -> float | None:
        """Returns d log(gap) / d log(t), by least squares on the mean over seeds; None if it diverged or reached 0."""
        gap = curves.gaps.mean(0)
        inside = (curves.t >= self.fit[0]) & (curves.t <= self.fit[1])
        if curves.diverged_at or inside.sum() < 2 or not (gap[inside] > 0).all():
            return None
        return float(np.polyfit(np.log(curves.t[inside]), np.log(gap[inside]), 1)[0])

    def share(self, curves: Curves) -> float | None:
        """Returns the part of the exchanges of ``against`` after which the mean gap is at most its last one.

        Exchanges of one game have the same bytes, so it is the part of the bytes too. None if that gap is not reached,
        if a play diverged, or if there is nothing to compare with.
        """
        sought = curves.case._replace(method=self.against or "")
        reference = next((other for other in self.curves if other.case == sought), None)
        if reference is None or reference.diverged_at or curves.diverged_at:
            return None
        reached = np.flatnonzero(curves.gaps.mean(0) <= reference.gaps[:, -1].mean())
        if not len(reached):
            return None
        exchanges = curves.last["exchanges"] * curves.t[reached[0]] / curves.t[-1]
        return float(exchanges / reference.last["exchanges"])

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for every play and time, with ``COLUMNS`` as keys; None stands for an unknown value."""
        return [
            {
                "method": play.method,
                "compressor": play.compressor[0],
                "workers": play.workers,
                "noise": play.noise[0],
                "seed": play.seed,
                "t": moment.t,
                "gap": moment.gap,
                "distance": _known(moment.distance),
                "megabytes": moment.megabytes,
                "oracle_calls": moment.oracle_calls,
                "exchanges": moment.exchanges,
                "gamma": moment.gamma,
            }
            for play, record in zip(self.plays, self.records, strict=True)
            for moment in record.moments
        ]

    def write_csv(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            table.writerows(self.rows())

    def summary(self) -> dict[str, Any]:
        """Returns rates, and mean and standard deviation over seeds at powers of ten, as plain values."""
        return {
            "game": self.game,
            "gap": self.gap_name,
            "iterations": self.iterations,
            "seeds": len({play.seed for play in self.plays}),
            "slope": f"least squares of log(mean gap over seeds) on log(t), t from {self.fit[0]} to {self.fit[1]}",
            "against": self.against,
            "cases": [
                {
                    **curves.case._asdict(),
                    "share_of_exchanges": self.share(curves),
                    "slope": self.slope(curves),
                    "diverged_at": curves.diverged_at,
                    "gap": self._at_marks(curves, curves.gaps),
                    "distance": self._at_marks(curves, curves.distances),
                    "megabytes": float(curves.megabytes[-1]),
                    **curves.last,
                }
                for curves in self.curves
            ],
        }

    def table(self, width: int = 132) -> str:
        """Returns a table as text; what is the same for all cases is in its title."""
        varied = [name for name in Case._fields if len({getattr(c.case, name) for c in self.curves}) > 1]
        constant = [f"{name} {getattr(self.curves[0].case, name)}" for name in Case._fields if name not in varied]
        table = Table(title="; ".join([f"{self.game}: {self.gap_name} of the average", *constant]))
        for name in varied:
            table.add_column(name, justify="right" if name == "workers" else "left", no_wrap=True)
        headings = [*(f"t = {t}" for t in self._marks()), "slope", f"distance at {self.iterations}", "MB sent"]
        if self.against:
            headings.append(f"MB for the gap of {self.against}")
        for heading in headings:
            table.add_column(heading, justify="right")
        for curves in self.curves:
            slope = self.slope(curves)
            gaps = (curves.at(t, curves.gaps) for t in self._marks())
            table.add_row(
                *(str(getattr(curves.case, name)) for name in varied),
                *("" if gap is None else _cell(*gap) for gap in gaps),
                "" if slope is None else f"{slope:.2f}",
                _fate(curves) or _cell(*_statistics(curves.distances[:, -1])),
                f"{curves.megabytes[-1]:.4g}",
                *([self._share_cell(curves)] if self.against else []),
            )
        return drawn(table, width)

    def _share_cell(self, curves: Curves) -> str:
        share = self.share(curves)
        return "not reached" if share is None else f"{share:.0%}"

    def _marks(self) -> list[int]:
        """Returns the end, and the last two powers of ten before it."""
        powers = [10**k for k in range(1, 12) if 10**k < self.iterations]
        return [*powers[-2:], self.iterations]

    def _at_marks(self, curves: Curves, values: Array) -> dict[str, dict[str, float | None]]:
        found = {t: curves.at(t, values) for t in self._marks()}
        return {str(t): {"mean": _known(at[0]), "std": _known(at[1])} for t, at in found.items() if at is not None}


def _curves(case: Case, records: list[Record]) -> Curves:
    moments = [record.moments[: min(len(r.moments) for r in records)] for record in records]
    first = moments[0]

    def each(name: str) -> Array:
        return np.array([[getattr(moment, name) for moment in play] for play in moments])

    return Curves(
        case,
        np.array([moment.t for moment in first], dtype=float),
        each("gap"),
        each("distance"),
        each("megabytes")[0],
        np.array([moment.shown for moment in first]),
        {name: float(each(name)[:, -1].mean()) for name in ("oracle_calls", "exchanges", "gamma")},
        [record.diverged_at for record in records if record.diverged_at is not None],
    )


def _statistics(values: Array) -> tuple[float, float | None]:
    """Returns mean and sample standard deviation; None for one value alone."""
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def _cell(mean: float, deviation: float | None) -> str:
    """Returns the mean, and the deviation in per cent of it; empty if the mean is unknown."""
    if math.isnan(mean):
        return ""
    return f"{mean:.4g}" if deviation is None or not mean else f"{mean:.3g} ±{deviation / mean:.0%}"


def _fate(curves: Curves) -> str:
    """Returns when plays diverged, in words; empty if none did."""
    if not curves.diverged_at:
        return ""
    first, last = min(curves.diverged_at), max(curves.diverged_at)
    return f"diverges at t = {first}" + (f" to {last}" if last > first else "")


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
