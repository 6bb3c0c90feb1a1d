"""Measured values beside published ones, and whether methods come in the same order."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hvd_qgenx.report.comparison import higher_is_better
from hvd_qgenx.report.curves import Spread, per_update
from hvd_qgenx.report.published import Published, Value
from hvd_qgenx.report.recorded import Recorded
from hvd_qgenx.report.results import TRAFFIC

MOST = 12
"""The longest list of pairs that a sentence names."""


@dataclass(frozen=True)
class Line:
    """One mode: the results of its runs beside the published one."""

    mode: str
    measured: Spread | None
    """The last score of the finished runs; None if there are none."""
    megabytes: Spread | None
    """MB that one rank sent in an update."""
    runs: int
    diverged: list[int]
    """The last updates of the runs that diverged."""
    published: Value

    @property
    def known(self) -> bool:
        return self.measured is not None or bool(self.diverged)


@dataclass(frozen=True)
class Pair:
    """Two modes that the published values tell apart by more than their spreads."""

    better: str
    """The better one in the paper."""
    worse: str
    measured: str
    """The measured order: ``agrees``, ``disagrees``, or ``undecided``."""

    def __str__(self) -> str:
        """Says what was measured of a pair in the opposite order."""
        return f"{self.worse} is better than {self.better}"


@dataclass(frozen=True)
class Replication:
    """A published table, and runs of its modes."""

    published: Published
    lines: list[Line]

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of measured modes that the published values tell apart."""
        higher = higher_is_better(self.published.scores[0])
        return list(_pairs([line for line in self.lines if line.known], higher))

    @property
    def opposite(self) -> list[Pair]:
        """The pairs whose measured order is the opposite of the published one."""
        return [pair for pair in self.pairs if pair.measured == "disagrees"]

    @property
    def conclusion(self) -> str:
        """One sentence on where the order of methods is the published one."""
        pairs = self.pairs
        if not pairs:
            return "No two modes have been run that the published values tell apart by more than their spreads."
        agree, close = ([pair for pair in pairs if pair.measured == kind] for kind in ("agrees", "undecided"))
        against = self.opposite
        plural = "" if len(pairs) == 1 else "s"
        text = f"Of {len(pairs)} pair{plural} of modes that the published values tell apart, {len(agree)} "
        text += "is in the same order" if len(agree) == 1 else "are in the same order"
        text += f", {len(close)} cannot be told apart here" if close else ""
        if not against:
            return f"{text}, and none is in the opposite one."
        named = ", ".join(map(str, against[:MOST]))
        rest = f", and {len(against) - MOST} more" if len(against) > MOST else ""
        return f"{text}, and {len(against)} in the opposite one: {named}{rest}."

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "title": self.published.title,
            "source": self.published.source,
            "note": self.published.note,
            "score": list(self.published.scores),
            "modes": [asdict(line) for line in self.lines],
            "pairs": [asdict(pair) for pair in self.pairs],
            "conclusion": self.conclusion,
        }


def replicate(published: Published, records: Sequence[Recorded]) -> Replication:
    """Compares runs with published values; the mode of a run is the name of its folder without the seed."""
    by_mode: dict[str, list[Recorded]] = {mode: [] for mode in published.values}
    for record in records:
        if (mode := _mode(record, published.values)) is not None:
            by_mode[mode].append(record)
    return Replication(published, [_line(mode, own, published) for mode, own in by_mode.items()])


def _mode(record: Recorded, modes: Mapping[str, Value]) -> str | None:
    """Returns the mode of a run: by the folder, as sweeps name it, else by the preset; None if it has none of them."""
    return next((name for name in (record.mode, record.config.get("preset")) if name in modes), None)


def _line(mode: str, records: Sequence[Recorded], published: Published) -> Line:
    scores = [_last_score(record, published.scores) for record in records if record.finished]
    return Line(
        mode=mode,
        measured=Spread.of(scores),
        megabytes=Spread.of([per_update(record.metrics, TRAFFIC) for record in records]),
        runs=len(records),
        diverged=[record.divergence.update for record in records if record.divergence],
        published=published.values[mode],
    )


def _last_score(record: Recorded, columns: Sequence[str]) -> float:
    """Returns the last value of the first of these columns that a run has; NaN if it has none."""
    column = next((column for column in columns if column in record.score_names), None)
    if column is None:
        return float("nan")
    values = record.scores[column]
    return float(values[np.isfinite(values)][-1])


def _pairs(lines: Sequence[Line], higher: bool) -> Iterator[Pair]:
    for one, other in itertools.combinations(lines, 2):
        published = _order(_published(one, higher), _published(other, higher))
        if published:
            better, worse = (one, other) if published > 0 else (other, one)
            measured = _order(_measured(better, higher), _measured(worse, higher))
            yield Pair(better.mode, worse.mode, {1: "agrees", 0: "undecided", -1: "disagrees"}[measured])


def _order(one: tuple[float, float], other: tuple[float, float]) -> int:
    """Returns 1 if the first of two (merit, spread) is higher by more than both spreads, -1 if lower, else 0."""
    if one[0] == other[0]:  # also if both have diverged
        return 0
    return int(np.sign(one[0] - other[0])) if abs(one[0] - other[0]) > one[1] + other[1] else 0


def _published(line: Line, higher: bool) -> tuple[float, float]:
    value = line.published
    return _merit(value.score, higher), value.spread or 0.0


def _measured(line: Line, higher: bool) -> tuple[float, float]:
    spread = line.measured
    return _merit(spread.mean if spread else None, higher), (spread.deviation or 0.0) if spread else 0.0


def _merit(score: float | None, higher: bool) -> float:
    """Returns a number that is higher for a better score; a diverged one is worse than all."""
    if score is None:
        return -np.inf
    return score if higher else -score
