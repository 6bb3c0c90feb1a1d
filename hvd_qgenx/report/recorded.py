"""Reads the results of runs from their folders."""

import csv
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compressors.naming import shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import in_line, read_json, read_lines
from hvd_qgenx.runs import Divergence, RunFolder
from hvd_qgenx.runs.table import FIRST, REMEDY, no_header

Array = NDArray[np.float64]

NEEDED = ("compressor", "seed")
"""Keys that only the configuration of a training run has."""
KINDS = {"compressor": str, "seed": int, "preset": str | None, "command": list | None}
"""The types of what reports read of a configuration; they show the rest as it is."""
BESIDE = ("update", "traffic/", "seconds/", "bias/")
"""Prefixes of the columns of scores.csv that are not scores."""


class Table:
    """Columns of numbers by increasing ``update``. Missing numbers and columns are NaN."""

    def __init__(self, columns: dict[str, Array] | None = None) -> None:
        self._columns = columns or {"update": np.empty(0)}

    def __getitem__(self, name: str) -> Array:
        return self._columns.get(name, np.full(len(self), np.nan))

    def __len__(self) -> int:
        return len(self._columns["update"])

    @property
    def names(self) -> list[str]:
        return list(self._columns)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Reads a CSV file; the table is empty if there is none. Truncated and malformed rows are left out.

        Raises:
            ConfigurationError: it cannot be read, or is not text.
        """
        if not path.exists():
            return cls()
        lines = (line.strip().split(",") for line in read_lines(path) if line.endswith("\n"))
        names = next(lines, [FIRST])
        if names[0] != FIRST:
            raise no_header(path)
        numbers, rows = array("d"), dict[float, int]()  # of rows repeated after an interruption the last counts
        for row in _numbers(lines, len(names)):
            rows[row[0]] = len(numbers) // len(names)
            numbers.extend(row)
        if not rows:
            return cls()
        columns = np.array(numbers).reshape(-1, len(names))[[rows[update] for update in sorted(rows)]].T
        return cls(dict(zip(names, columns, strict=True)))


def _numbers(texts: Iterable[Sequence[str]], count: int) -> Iterator[list[float]]:
    for row in texts:
        try:
            numbers = [float(text or "nan") for text in row]
        except ValueError:
            continue
        if len(numbers) == count and np.isfinite(numbers[0]):
            yield numbers


@dataclass(frozen=True, eq=False)
class Recorded:
    """One run, finished or not."""

    path: Path
    config: dict[str, Any]
    metrics: Table
    scores: Table
    summary: dict[str, Any] | None
    """None: the run was interrupted, has diverged, or is still running."""
    samples: dict[int, Path]
    """Sample pictures by update."""
    divergence: Divergence | None = None

    @property
    def finished(self) -> bool:
        return self.summary is not None and self.divergence is None

    @property
    def has_results(self) -> bool:
        return bool(len(self.metrics) or len(self.scores) or self.summary or self.divergence)

    @property
    def mode(self) -> str | None:
        """The mode of a sweep, if the folder has a name as sweeps give it, MODE-seedN."""
        mode, found, seed = self.path.resolve().name.rpartition("-seed")
        return mode if found and seed.isdecimal() else None

    @property
    def seed(self) -> Any:
        return self.config["seed"]

    @property
    def updates(self) -> int:
        """The last update with a row of metrics or scores."""
        return int(max((table["update"][-1] for table in (self.metrics, self.scores) if len(table)), default=0))

    @property
    def loss_names(self) -> list[str]:
        """The columns of metrics.csv that are losses."""
        return [name for name in self.metrics.names if name.startswith("loss/")]

    @property
    def score_names(self) -> list[str]:
        """The columns ``SCORE/WEIGHTS`` that hold a number."""
        names = (name for name in self.scores.names if "/" in name and not name.startswith(BESIDE))
        return [name for name in names if np.isfinite(self.scores[name]).any()]


def find(paths: Sequence[Path], onerror: Callable[[ConfigurationError], object] | None = None) -> list[Recorded]:
    """Reads the runs in these folders and below them, each once.

    Args:
        paths: folders of runs, or folders that hold such.
        onerror: called with each error, and what has it is left out; by default the first error is raised.

    Raises:
        ConfigurationError: a path holds no run, a run holds no results, or a file of a run cannot be read; names it.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        with _passed_to(onerror):
            folders |= {folder.resolve(): folder for folder in _folders(path)}
    records = []
    for folder in folders.values():
        with _passed_to(onerror):
            records.append(_read(folder))
    return records


@contextmanager
def _passed_to(onerror: Callable[[ConfigurationError], object] | None) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        if onerror is None:
            raise
        onerror(error)


def _folders(path: Path) -> list[Path]:
    if RunFolder(path).config.exists():
        if not _is_run(path):
            raise ConfigurationError(f"{RunFolder(path).config} is not the configuration of a training run")
        return [path]
    try:
        found = [folder for folder in _configured(path) if _is_run(folder)]
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; name folders of runs") from error
    if not found:
        raise ConfigurationError(
            f"{path} holds no run: neither it nor a folder in it has the config.json of a training run"
        )
    return found


def _configured(path: Path) -> Iterator[Path]:
    """Yields the folders with a configuration below this one; the folders of a run hold no further runs."""
    for child in sorted(path.iterdir()):
        if child.is_dir():
            if RunFolder(child).config.exists():
                yield child
            else:
                yield from _configured(child)


def _is_run(path: Path) -> bool:
    """Tells whether a folder holds a training run, or one whose configuration cannot be read."""
    try:
        config = RunFolder(path).read_config()
    except ConfigurationError:
        return True
    return all(name in config for name in NEEDED)


def _read(path: Path) -> Recorded:
    folder = RunFolder(path)
    metrics, scores = Table.read(folder.metrics), Table.read(folder.scores)
    pictures = folder.samples.glob("*.png") if folder.samples.exists() else ()
    record = Recorded(
        path,
        _config(folder),
        metrics,
        scores if len(scores) else _evaluated(folder.evaluation, metrics),
        _summary(folder.summary),
        {int(picture.stem): picture for picture in pictures if picture.stem.isdecimal()},
        Divergence.read(folder),
    )
    if not record.has_results:
        raise ConfigurationError(
            f"{path} has no results: neither {folder.metrics.name} nor {folder.scores.name} has a row"
        )
    return record


def _config(folder: RunFolder) -> dict[str, Any]:
    config = folder.read_config()
    for key, kind in KINDS.items():
        if not isinstance(config.get(key), kind):
            raise ConfigurationError(f"{folder.config} is damaged: {key} is {shown(config.get(key))}")
    return config


def _evaluated(path: Path, metrics: Table) -> Table:
    """Returns the results of ``hvd-qgenx evaluate`` in the form of scores.csv; the last value of every score counts."""
    if not path.exists():
        return Table()
    found: dict[float, dict[str, float]] = {}
    rows = csv.DictReader(read_lines(path))
    try:
        for row in rows:
            scores = found.setdefault(float(row["update"]), {})
            scores[f"{row['score']}/{row['weights']}"] = float(row["value"])
            if row["bias"]:
                scores[f"bias/{row['score']}"] = float(row["bias"])
    except ConfigurationError:
        raise
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise in_line(path, rows.line_num, f"is no row of scores{REMEDY}") from error
    updates = np.array(sorted(found))
    names = sorted({name for scores in found.values() for name in scores})
    columns = {name: np.array([found[update].get(name, np.nan) for update in updates]) for name in names}
    if len(metrics):
        for name in ("traffic/megabytes", "seconds/elapsed"):
            columns[name] = np.interp(updates, metrics["update"], metrics[name])
    return Table({"update": updates, **columns})


def _summary(path: Path) -> dict[str, Any] | None:
    summary = read_json(path) if path.exists() else None
    return summary if isinstance(summary, dict) else None
