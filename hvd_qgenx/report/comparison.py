"""Compares groups of runs: the score, the baselines, and obstacles to a comparison."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.report import settings
from hvd_qgenx.report.curves import Spread
from hvd_qgenx.report.groups import BASELINE, Group, Mode, sort
from hvd_qgenx.report.recorded import Recorded

PREFERRED = ("ema", "raw", "uniform", "ergodic")
"""Order of preference of the weights whose score is shown first, among those that most groups have."""


MOST = 8
"""The most differences that are spelt out."""


@dataclass(frozen=True)
class Comparison:
    """All groups of runs.

    Attributes:
        groups: groups of runs, in the order in which they are shown.
        score: the column shown first, ``SCORE/WEIGHTS``; None if there are no scores.
        skipped: sentences on runs that cannot be shown.
    """

    groups: list[Group]
    score: str | None
    skipped: Sequence[str] = ()

    @cached_property
    def modes(self) -> list[Mode]:
        return list(dict.fromkeys(group.mode for group in self.groups))

    @cached_property
    def places(self) -> dict[str, list[Group]]:
        """Groups by place."""
        found = defaultdict(list)
        for group in self.groups:
            found[group.place].append(group)
        return dict(found)

    @property
    def records(self) -> list[Recorded]:
        return [record for group in self.groups for record in group.records]

    @property
    def columns(self) -> list[str]:
        """The columns ``SCORE/WEIGHTS`` of all runs, in the order of the files."""
        return _columns(self.groups)

    @property
    def losses(self) -> list[str]:
        """The columns ``loss/NAME`` of all runs, in the order of the files."""
        return list(dict.fromkeys(name for record in self.records for name in record.loss_names))

    @property
    def integers(self) -> list[str]:
        """The columns of metrics on the integers that runs sum, other than shares: scale, largest, largest sum."""
        found = dict.fromkeys(name for record in self.records for name in record.metrics.names)
        return [name for name in found if name.startswith("integers/") and name != "integers/clipped"]

    @cached_property
    def sends(self) -> bool:
        """Tells whether any run sends anything, as those of several ranks do."""
        return any(np.nanmax(record.metrics["traffic/megabytes"], initial=0) > 0 for record in self.records)

    @property
    def floor(self) -> float | None:
        """The score of perfect images, or of a model that knows the source of a text; None if the runs do not tell."""
        if self.score is None:
            return None
        found = Spread.of(np.concatenate([r.scores[f"bias/{name_of(self.score)}"] for r in self.records]))
        return found.mean if found else None

    def baseline(self, place: str) -> Group | None:
        """Returns the uncompressed group of a place; None if it has none."""
        return next((group for group in self.places[place] if group.mode.uncompressed), None)

    @cached_property
    def differences(self) -> list[settings.Difference]:
        """Differences between modes beyond compression and optimizer."""
        return settings.unasked({mode.name: mode.outcome for mode in self.modes})

    @property
    def obstacles(self) -> list[str]:
        """Sentences on what makes scores hard to compare."""
        found = [f"{difference}." for difference in self.differences[:MOST]]
        rest = len(self.differences) - MOST
        return [*found, f"{rest} more settings differ: see the page's configuration."] if rest > 0 else found

    @cached_property
    def remarks(self) -> list[str]:
        """Further sentences that a reader must know."""
        return [*self.skipped, *self._unfinished(), *self._unscored(), *self._unequal(), *self._unpaired()]

    def _unfinished(self) -> Iterator[str]:
        for group in self.groups:
            for record in group.records:
                fate = ", and means leave it out" if record in group.left_out else ""
                if record.divergence:
                    yield f"{record.path} {record.divergence}{fate}: {record.divergence.sentence}."
                elif not record.finished:
                    yield (
                        f"{record.path} has no summary.json: it was interrupted or is still running. Its last "
                        f"update is {record.updates}{fate}."
                    )

    def _unscored(self) -> Iterator[str]:
        without = [group for group in self.groups if not group.score_names and not group.has_diverged]
        if without:
            titles = "; ".join(group.title for group in without)
            yield (
                f"There are no scores of {titles}; compute them with hvd-qgenx evaluate {without[0].records[0].path}, "
                "or with --score-every while training."
            )
        for group in self.groups:
            if group.score_names and self.score not in group.score_names:
                yield f"There is no {self.score} of {group.title}."

    def _unequal(self) -> Iterator[str]:
        for mode in self.modes:
            if replicas_agree(mode) is False:
                yield f"Runs of {mode.name} with the same seed ended with different parameters."

    def _unpaired(self) -> Iterator[str]:
        for place in self.places:
            if self.baseline(place) is None:
                where = f" at {place}" if place else ""
                yield f"No run{where} has --compressor {BASELINE}, so there are no ratios to a baseline."


def compare(records: Sequence[Recorded], score: str | None = None, skipped: Sequence[str] = ()) -> Comparison:
    """Sorts runs into groups.

    Args:
        records: at least one.
        score: the score to show first, without its weights; by default the first one of the files.
        skipped: sentences on runs that are left out.

    Raises:
        ConfigurationError: no run has this score.
    """
    groups = sort(records)
    return Comparison(groups, _choose(groups, score), skipped)


def name_of(column: str) -> str:
    """Returns the score of ``SCORE/WEIGHTS``."""
    return column.rpartition("/")[0]


def weights_of(column: str) -> str:
    """Returns the weights of ``SCORE/WEIGHTS``."""
    return column.rpartition("/")[2]


def higher_is_better(column: str) -> bool:
    return name_of(column).startswith(("inception_score", "top"))


def replicas_agree(mode: Mode) -> bool | None:
    """Returns whether runs with equal seeds ended with the same parameters; None if no two can be compared."""
    hashes = defaultdict(list)
    for record in mode.records:
        if record.summary and "replica_hash" in record.summary:
            hashes[str(record.seed), record.updates].append(record.summary["replica_hash"])
    several = [own for own in hashes.values() if len(own) > 1]
    return all(len(set(own)) == 1 for own in several) if several else None


def _columns(groups: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for record in group.records for name in record.score_names))


def _choose(groups: Sequence[Group], wanted: str | None) -> str | None:
    columns = _columns(groups)
    scores = list(dict.fromkeys(map(name_of, columns)))
    if wanted is not None and not scores:
        raise ConfigurationError(f"no run has scores, so none has {wanted}; compute them with hvd-qgenx evaluate RUN")
    if wanted is not None and wanted not in scores:
        raise ConfigurationError(unknown("score", wanted, scores))

    def rank(column: str) -> tuple[int, int]:
        weights = weights_of(column)
        preference = PREFERRED.index(weights) if weights in PREFERRED else len(PREFERRED)
        return -sum(column in group.score_names for group in groups), preference

    own = [column for column in columns if name_of(column) == (wanted or scores[0])]
    return min(own, key=rank, default=None)
