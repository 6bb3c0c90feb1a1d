"""Results of an experiment: rows for a file, curves over seeds, and a table."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from hvd_qgenx.tables import drawn
from hvd_qgenx.tasks.logistic.descent import Moment, Record
from hvd_qgenx.tasks.logistic.experiment import Experiment

Array = NDArray[np.float64]

RESOLUTION = {"gap": float(np.finfo(float).eps), "squared_distance": float(np.finfo(float).tiny)}
"""Values below, which rounding may make 0 or negative, count as this in logarithms."""
LOCAL = {"worst_gap": RESOLUTION["gap"], "consensus": RESOLUTION["squared_distance"]}
"""The same for values that only methods have in which every worker has a point of its own."""


class Run(NamedTuple):
    """One run of an experiment."""

    method: str
    seed: int


@dataclass(frozen=True)
class Curves:
    """All runs of one method, at the iterations that all of them reached."""

    method: str
    lr: float
    columns: dict[str, Array]
    """Every value of ``Moment``, by name, (seeds, n)."""
    diverged_at: list[int]
    """The iterations at which runs diverged, in order of their seeds."""
    consensus_step_size: float | None = None

    @property
    def is_local(self) -> bool:
        """Tells whether every worker has a point of its own."""
        return self.consensus_step_size is not None

    def axis(self, name: str) -> Array:
        """Returns the mean over seeds of a value that runs are drawn against, (n,)."""
        mean: Array = self.columns[name].mean(0)
        return mean

    def logarithms(self, name: str) -> tuple[Array, Array]:
        """Returns the mean over seeds of log10 of an error, and its standard deviation, which is 0 for one seed."""
        values = np.log10(np.maximum(self.columns[name], (RESOLUTION | LOCAL)[name]))
        deviation = values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
        return values.mean(0), deviation

    def largest(self, name: str) -> int:
        """Returns the largest of a value over all seeds and iterations."""
        return int(self.columns[name].max())


class Results:
    """The records of all runs of an experiment, in the order of the runs."""

    def __init__(self, experiment: Experiment, runs: Sequence[Run], records: Sequence[Record]) -> None:
        self.experiment, self.runs, self.records = experiment, runs, records
        by_method: dict[str, list[Record]] = {}
        for run, record in zip(runs, records, strict=True):
            by_method.setdefault(run.method, []).append(record)
        self.curves = [_curves(method, found) for method, found in by_method.items()]

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for every run and record: method, seed, and the values of ``Moment``."""
        return [
            {**run._asdict(), **asdict(moment)}
            for run, record in zip(self.runs, self.records, strict=True)
            for moment in record.moments
        ]

    def write_csv(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, (*Run._fields, *_names()))
            table.writeheader()
            table.writerows(self.rows())

    def summary(self) -> dict[str, Any]:
        """Returns the constants of the problem, and every method's errors at some iterations, as plain values."""
        return {
            **self.experiment.facts(),
            "seeds": len({run.seed for run in self.runs}),
            "errors": "mean and standard deviation over seeds of log10",
            "methods": [
                {
                    "method": curves.method,
                    "lr": curves.lr,
                    "diverged_at": curves.diverged_at,
                    **{name: _at_marks(curves, name) for name in RESOLUTION},
                    **{name: float(curves.axis(name)[-1]) for name in ("passes", "megabytes")},
                    **{name: curves.largest(name) for name in ("largest_integer", "largest_sum")},
                    **({name: _at_marks(curves, name) for name in LOCAL} if curves.is_local else {}),
                    **({"consensus_step_size": curves.consensus_step_size} if curves.is_local else {}),
                }
                for curves in self.curves
            ],
        }

    def table(self, width: int = 132) -> str:
        """Returns tables as text: a row for every method, apart for those in which workers have points of their own."""
        longest = max(self.curves, key=lambda curves: curves.axis("k")[-1])
        marks = [int(longest.axis("k")[mark]) for mark in _marks(longest)]
        texts = [
            drawn(tabulate(found, marks), width)
            for tabulate, local in ((self._central, False), (self._local, True))
            if (found := [curves for curves in self.curves if curves.is_local == local])
        ]
        return "\n".join(texts)

    def _title(self, title: str) -> str:
        if len({run.seed for run in self.runs}) > 1:
            title += "; geometric means over seeds ± one standard deviation in decades"
        return title

    def _central(self, found: Sequence[Curves], marks: Sequence[int]) -> Table:
        table = Table("method", title=self._title("squared distance |x - x*|^2 and, at the end, gap f - f*"))
        for heading in ("step", *(f"k = {k}" for k in marks), "gap", "passes", "MB sent", "largest integer, sum"):
            table.add_column(heading, justify="right")
        for curves in found:
            distances = (_cell(curves, "squared_distance", k) for k in marks)
            last = (f"{curves.axis(name)[-1]:.4g}" for name in ("passes", "megabytes"))
            integer, total = curves.largest("largest_integer"), curves.largest("largest_sum")
            integers = f"{integer}, {total}" if integer else ""
            cells = (*distances, _cell(curves, "gap", marks[-1]), *last, integers)
            table.add_row(curves.method, f"{curves.lr:.5g}", *cells)
        return table

    def _local(self, found: Sequence[Curves], marks: Sequence[int]) -> Table:
        title = "gap f - f* at the mean of the workers' points and, at the end, of the worst; mean of |x_i - mean|^2"
        table = Table(title=self._title(title))
        table.add_column("method", no_wrap=True)
        for heading in ("step", "gamma", *(f"k = {k}" for k in marks), "worst", "consensus", "passes", "MB sent"):
            table.add_column(heading, justify="right")
        for curves in found:
            gaps = (_cell(curves, "gap", k) for k in marks)
            ends = ("" if curves.diverged_at else _cell(curves, name, marks[-1]) for name in LOCAL)
            last = (f"{curves.axis(name)[-1]:.4g}" for name in ("passes", "megabytes"))
            steps = f"{curves.lr:.4g}", f"{curves.consensus_step_size:.3g}"
            table.add_row(curves.method, *steps, *gaps, *ends, *last)
        return table


def _names() -> list[str]:
    return [field.name for field in fields(Moment)]


def _curves(method: str, records: list[Record]) -> Curves:
    length = min(len(record.moments) for record in records)
    columns = {
        name: np.array([[getattr(moment, name) for moment in record.moments[:length]] for record in records], float)
        for name in _names()
    }
    diverged_at = [record.diverged_at for record in records if record.diverged_at is not None]
    return Curves(method, records[0].lr, columns, diverged_at, records[0].consensus_step_size)


def _marks(curves: Curves) -> list[int]:
    """Returns the places of records after a fifth and three fifths of the run, and of the last."""
    last = len(curves.axis("k")) - 1
    return sorted({last // 5, 3 * last // 5, last})


def _at_marks(curves: Curves, name: str) -> dict[str, dict[str, float]]:
    mean, deviation = curves.logarithms(name)
    k = curves.axis("k")
    return {str(int(k[at])): {"mean": float(mean[at]), "std": float(deviation[at])} for at in _marks(curves)}


def _cell(curves: Curves, name: str, k: int) -> str:
    """Returns the geometric mean of an error at iteration k and its spread in decades; or when it diverged."""
    found = np.flatnonzero(curves.axis("k") == k)
    if not len(found):
        return f"diverges at {min(curves.diverged_at)}"
    mean, deviation = (values[found[0]] for values in curves.logarithms(name))
    spread = f" ±{deviation:.2f}" if len(curves.columns[name]) > 1 else ""
    return f"{10**mean:.2g}{spread}"
