"""Outcomes of a comparison: rows for a file, a summary, and a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from hvd_qgenx.gossip.consensus import Moment
from hvd_qgenx.tables import drawn
from hvd_qgenx.tasks.consensus.cases import Length, Names, Outcome

MARKS = (0.1, 0.3, 1.0)
"""Shares of a run after which the table shows the error."""
KEYS = (*Names._fields, "consensus_step_size", "seed")


class Results:
    """All outcomes of a comparison.

    Args:
        outcomes: in order.
        seeds: of every outcome's records.
        length: of the runs.
    """

    def __init__(self, outcomes: Sequence[Outcome], seeds: Sequence[int], length: Length) -> None:
        self.outcomes, self.seeds, self.length = outcomes, seeds, length

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for every outcome, seed and record, with ``KEYS`` and the values of ``Moment``."""
        return [
            {**outcome.case.names._asdict(), "consensus_step_size": outcome.step_size, "seed": seed, **asdict(moment)}
            for outcome in self.outcomes
            for seed, record in zip(self.seeds, outcome.records, strict=True)
            for moment in record.moments
        ]

    def write_csv(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, (*KEYS, *(field.name for field in fields(Moment))))
            table.writeheader()
            table.writerows(self.rows())

    def summary(self) -> dict[str, Any]:
        """Returns every outcome's errors at some times, over that of the start, as plain values."""
        return {
            "seeds": len(self.seeds),
            "errors": "mean over ranks of |x_i - mean|^2, over that of the start; geometric means over seeds",
            "cases": [
                {
                    **outcome.case.names._asdict(),
                    "consensus_step_size": outcome.step_size,
                    "tried": list(outcome.tried),
                    "diverged_at": [record.diverged_at for record in outcome.records],
                    "verdict": self._verdict(outcome),
                    "errors": [found for mark in MARKS if (found := _at(outcome, mark))],
                    "start": outcome.records[0].moments[0].error,
                }
                for outcome in self.outcomes
            ],
        }

    def table(self, width: int = 140) -> str:
        """Returns a table as text; what all cases have in common is in its title."""
        names = [outcome.case.names for outcome in self.outcomes]
        varied = [name for name in Names._fields if len({getattr(each, name) for each in names}) > 1]
        common = [f"{name} {getattr(names[0], name)}" for name in Names._fields if name not in varied]
        table = Table(title="; ".join(["consensus error over its start", *common]))
        for name in varied:
            table.add_column(name, justify="right" if name == "ranks" else "left", no_wrap=True)
        end, noun = self.length.rounds or self.length.messages or 0, "rounds" if self.length.rounds else "messages"
        for heading in ("step size", *(f"{mark * end:g} {noun}" for mark in MARKS), "rounds", "bits sent"):
            table.add_column(heading, justify="right")
        notes = []
        for outcome in self.outcomes:
            last, own = outcome.records[0].last, [str(getattr(outcome.case.names, name)) for name in varied]
            table.add_row(
                *own,
                f"{outcome.step_size:.4g}{' *' if len(outcome.tried) > 1 else ''}",
                *(f"{found['error']:.2g}" if (found := _at(outcome, mark)) else "" for mark in MARKS),
                str(last.round),
                f"{last.bits:.3g}",
            )
            if verdict := self._verdict(outcome):
                notes.append(f"{' '.join([*own, verdict])}\n")
        if any(len(outcome.tried) > 1 for outcome in self.outcomes):
            notes.append("* the best of several step sizes\n")
        return drawn(table, width) + "".join(notes)

    def _verdict(self, outcome: Outcome) -> str:
        """Returns the sentence of the first run that does not converge."""
        return next(filter(None, (record.verdict() for record in outcome.records)), "")


def _at(outcome: Outcome, mark: float) -> dict[str, float] | None:
    """Returns round, messages, bits and error after a share of the run; None if one has diverged before."""
    due = mark * outcome.rounds
    if any(record.diverged_at is not None and record.diverged_at <= due for record in outcome.records):
        return None
    moments = [min(record.moments, key=lambda moment: abs(moment.round - due)) for record in outcome.records]
    errors = np.array([max(moment.relative, 1e-300) for moment in moments])
    first = moments[0]
    values = {"round": float(first.round), "messages": first.messages, "bits": first.bits}
    return {**values, "error": float(np.exp(np.log(errors).mean()))}
