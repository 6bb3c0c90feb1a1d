"""The results as numbers: one row for every group."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hvd_qgenx.report.comparison import Comparison, higher_is_better, replicas_agree
from hvd_qgenx.report.curves import Curve, Spread
from hvd_qgenx.report.groups import Group
from hvd_qgenx.report.recorded import Array, Recorded

TRAFFIC, TIME = "traffic/megabytes_per_update", "seconds/update"


@dataclass(frozen=True)
class Reached:
    """The point at which a group's mean score was first at least as good as the baseline's final one."""

    update: float
    seconds: float | None
    megabytes: float | None


@dataclass(frozen=True)
class Row:
    """The results of one group; None: unknown. Spreads are over finished runs, or all runs if none is finished."""

    group: str
    place: str
    seeds: list[Any]
    unfinished: list[Any]
    """Seeds of interrupted runs."""
    diverged: dict[str, int]
    """The last update of every run that diverged, by seed."""
    updates: int
    final: Spread | None
    """The last score of each run; None if all have diverged."""
    best: float | None
    """The best score of any run at any update."""
    finals: dict[str, Spread]
    """The final value of every ``SCORE/WEIGHTS``."""
    megabytes_per_update: Spread | None
    """MB sent by one rank."""
    fewer_bytes: float | None
    """The baseline's MB per update divided by this group's."""
    seconds_per_update: Spread | None
    faster: float | None
    """The baseline's seconds per update divided by this group's."""
    reached: Reached | None
    """The point at which it reached the baseline's final mean score; None: never, or unknown."""
    less_time: float | None
    """The baseline's seconds until it first reaches its own final score, divided by the seconds of ``reached``."""
    less_traffic: float | None
    relative_error: Spread | None
    losses: dict[str, Spread]
    """The losses in the last row of metrics."""
    replicas_agree: bool | None

    def as_dict(self) -> dict[str, Any]:
        """Returns all fields by name, as report.json has them."""
        return asdict(self)


def rows(comparison: Comparison) -> list[Row]:
    """Returns one row for every group, in order."""
    return [_row(comparison, group) for group in comparison.groups]


def _row(comparison: Comparison, group: Group) -> Row:
    baseline = comparison.baseline(group.place)
    score = comparison.score
    own, other = (_score(each, score) for each in (group, baseline))
    reached, to_itself = _reached(own, other, score), _reached(other, other, score)
    return Row(
        group=group.name,
        place=group.place,
        seeds=_seeds(group.records),
        unfinished=_seeds([record for record in group.records if not (record.finished or record.divergence)]),
        diverged={str(record.seed): record.divergence.update for record in group.records if record.divergence},
        updates=max(record.updates for record in group.records),
        final=Spread.of(own.values[:, -1]) if own else None,
        best=_best(own.values, score) if own and score else None,
        finals=_finals(comparison.columns, lambda column: _score(group, column)),
        megabytes_per_update=group.per_update(TRAFFIC),
        fewer_bytes=_ratio(baseline, group, TRAFFIC),
        seconds_per_update=group.per_update(TIME),
        faster=_ratio(baseline, group, TIME),
        reached=reached,
        less_time=_over(to_itself.seconds, reached.seconds) if to_itself and reached else None,
        less_traffic=_over(to_itself.megabytes, reached.megabytes) if to_itself and reached else None,
        relative_error=group.per_update("traffic/relative_error"),
        losses=_finals(comparison.losses, group.metric),
        replicas_agree=replicas_agree(group.mode),
    )


def _score(group: Group | None, column: str | None) -> Curve | None:
    """Returns the curve of a score; None if there is none, or all runs of the group have diverged."""
    if group is None or column is None or group.has_diverged:
        return None
    return group.score(column)


def _seeds(records: Sequence[Recorded]) -> list[Any]:
    return sorted({record.seed for record in records}, key=lambda seed: (len(str(seed)), str(seed)))


def _finals(columns: Sequence[str], find: Callable[[str], Curve | None]) -> dict[str, Spread]:
    found = {column: Spread.of(curve.values[:, -1]) for column in columns if (curve := find(column))}
    return {column: spread for column, spread in found.items() if spread}


def _best(values: Array, column: str) -> float:
    return float(values.max() if higher_is_better(column) else values.min())


def _reached(own: Curve | None, baseline: Curve | None, column: str | None) -> Reached | None:
    if own is None or baseline is None or column is None:
        return None
    target = baseline.mean[-1]
    good = own.mean >= target if higher_is_better(column) else own.mean <= target
    if not good.any():
        return None
    first = int(good.argmax())
    return Reached(float(own.update[first]), _known(own.seconds[first]), _known(own.megabytes[first]))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _ratio(baseline: Group | None, group: Group, column: str) -> float | None:
    of, to = (each.per_update(column) if each else None for each in (baseline, group))
    return _over(of.mean, to.mean) if of and to else None


def _over(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator and denominator else None
