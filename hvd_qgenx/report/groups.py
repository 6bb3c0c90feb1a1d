"""Sorts runs into groups of the same configuration, apart from the seed, over the same links."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hvd_qgenx.report import labels, settings
from hvd_qgenx.report.curves import Curve, Spread, curve, per_update
from hvd_qgenx.report.recorded import Recorded

BASELINE = "none"
"""The compressor of the baseline."""
BLACK = ("#1a1a1a", "o", "-")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which the colour-blind can tell apart; the baseline is black."""
MARKERS = "s^DvP"
LINES = ("-", "--", "-.", ":")
LOOKS = [
    (COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)], LINES[index // len(COLORS) % len(LINES)])
    for index in range(30)
]


@dataclass(frozen=True, eq=False)
class Mode:
    """Runs whose configurations differ only in the seed; drawn in the same style everywhere."""

    name: str
    outcome: settings.Settings
    records: list[Recorded]
    color: str
    marker: str
    line: str
    """Style of its lines, which tells modes of one colour apart."""

    @property
    def uncompressed(self) -> bool:
        return _uncompressed(self.outcome)


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one mode over the same links."""

    mode: Mode
    place: str
    """Name of the links; empty if all runs used the same."""
    records: list[Recorded]

    @property
    def name(self) -> str:
        return self.mode.name

    @property
    def title(self) -> str:
        """The name, and the place if there are several."""
        return f"{self.name}, {self.place}" if self.place else self.name

    @property
    def counted(self) -> list[Recorded]:
        """The finished runs, used for means and bands; if none is, those that have not diverged, or all."""
        finished = [record for record in self.records if record.finished]
        return finished or [record for record in self.records if not record.divergence] or self.records

    @property
    def diverged(self) -> list[Recorded]:
        return [record for record in self.records if record.divergence]

    @property
    def has_diverged(self) -> bool:
        """Tells whether all runs have diverged."""
        return len(self.diverged) == len(self.records)

    @property
    def left_out(self) -> list[Recorded]:
        """Interrupted and diverged runs, if others of the group are finished."""
        return [record for record in self.records if record not in self.counted]

    @property
    def score_names(self) -> set[str]:
        return {name for record in self.records for name in record.score_names}

    def score(self, column: str) -> Curve | None:
        """Returns the curve of ``SCORE/WEIGHTS`` over the counted runs."""
        return curve([record.scores for record in self.counted], column)

    def metric(self, column: str) -> Curve | None:
        return curve([record.metrics for record in self.counted], column)

    def per_update(self, column: str) -> Spread | None:
        """Returns the spread of a metric that is a mean per update."""
        return Spread.of([per_update(record.metrics, column) for record in self.counted])


def sort(records: Sequence[Recorded]) -> list[Group]:
    """Returns groups by place, within a place the baseline first, then by decreasing traffic."""
    modes = _modes(records)
    mode_of = {record: mode for mode in modes for record in mode.records}
    places = dict(zip(records, _places(records, mode_of), strict=True))
    return [
        Group(mode, place, own)
        for place in dict.fromkeys(places.values())
        for mode in modes
        if (own := [record for record in mode.records if places[record] == place])
    ]


def _modes(records: Sequence[Recorded]) -> list[Mode]:
    found: list[tuple[settings.Settings, list[Recorded]]] = []
    for record in records:
        outcome = settings.outcome(record.config)
        alike = next((own for known, own in found if known == outcome), None)
        if alike is None:
            found.append((outcome, [record]))
        else:
            alike.append(record)
    found.sort(key=lambda mode: (not _uncompressed(mode[0]), _gossips(mode[0]), -_traffic(mode[1])))
    outcomes = [outcome for outcome, _ in found]
    names = labels.names(outcomes, [_name(own) for _, own in found])
    looks = [BLACK, *LOOKS] if _uncompressed(outcomes[0]) else LOOKS
    return [
        Mode(name, outcome, own, *looks[index % len(looks)])
        for index, (name, (outcome, own)) in enumerate(zip(names, found, strict=True))
    ]


def _uncompressed(outcome: settings.Settings) -> bool:
    return bool(outcome["compressor"] == BASELINE)


def _gossips(outcome: settings.Settings) -> bool:
    return bool(outcome.get("mixing", "none") != "none")


def _name(records: Sequence[Recorded]) -> str | None:
    """Returns the mode of a sweep that the runs are of, or their preset, a file's without its folder.

    None if they have not one in common.
    """
    for names in ({record.mode for record in records}, {record.config.get("preset") for record in records}):
        if len(names) == 1 and (name := names.pop()):
            return Path(name).stem if name.endswith(".toml") else str(name)
    return None


def _traffic(records: Sequence[Recorded]) -> float:
    found = Spread.of([per_update(record.metrics, "traffic/megabytes_per_update") for record in records])
    return found.mean if found else 0.0


def _places(records: Sequence[Recorded], mode_of: dict[Recorded, Mode]) -> list[str]:
    """Returns each run's labels of links as far as they differ, and its folder if that tells equal runs apart."""
    links = [str(record.config.get("link") or "") for record in records]
    known = [labels for labels in (links, [_hosts(record) for record in records]) if len(set(labels)) > 1]
    runs = [(mode_of[record], str(record.seed), *labels) for record, *labels in zip(records, *known, strict=True)]
    folders = _folders([record.path.resolve() for record in records])
    if len(set(zip(runs, folders, strict=True))) > len(set(runs)):
        known.append(folders)
    return [", ".join(filter(None, labels)) for _, *labels in zip(records, *known, strict=True)]


def _hosts(record: Recorded) -> str:
    hosts = record.config.get("hosts")
    return f"{hosts} host{'' if hosts == 1 else 's'}" if hosts else ""


def _folders(paths: Sequence[Path]) -> list[str]:
    """Returns, for each path, the first folder below the common one; empty for a run directly in it."""
    common = Path(os.path.commonpath([path.parent for path in paths]))
    return ["".join(path.parent.relative_to(common).parts[:1]) for path in paths]
