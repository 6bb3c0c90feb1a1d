"""Consensus step sizes of topologies and compressors, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hvd_qgenx.gossip.choices import Choice
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.gossip.tuning import Tuning, tune
from hvd_qgenx.tables import drawn

CAPTION = (
    "delta: E|Q(x) - x|² is 1 - delta times |x|², measured on Gaussian vectors, and as a bound holds for them; "
    "theory: the step size with which convergence is proven; best: the fastest found, and its factor of the error in a "
    "round; stable: the largest with which errors do not grow; auto: what training takes by default"
)


@dataclass(frozen=True)
class Row:
    """One topology with one compressor."""

    topology: Topology
    compressor: str
    tuning: Tuning

    def as_dict(self) -> dict[str, Any]:
        """Returns all numbers as plain values."""
        found = self.tuning
        return {
            "compressor": self.compressor,
            "delta_measured": found.quality.measured,
            "delta_bound": found.quality.bound,
            "theory": found.theory,
            "best": found.best,
            "rate": found.rate,
            "largest_stable": found.largest_stable,
            "auto": found.safe,
        }


def measure(topology: Topology, choice: Choice, mixing: str) -> Row:
    """Tunes a mixing on a topology; raises as ``tuning.tune`` does."""
    return Row(topology, choice.text, tune(topology, choice.compressor, mixing))


def table(rows: Sequence[Row], mixing: str, width: int) -> str:
    """Returns a table as text, a line for each topology with each compressor."""
    made = Table(title=f"consensus step sizes of {mixing}", caption=CAPTION)
    for heading in ("topology", "ranks", "compressor", "delta", "bound", "theory", "best", "rate", "stable", "auto"):
        made.add_column(heading, justify="left" if heading in ("topology", "compressor") else "right")
    for row in rows:
        found = row.tuning
        numbers = (found.quality.measured, found.quality.bound, found.theory, found.best)
        made.add_row(
            row.topology.name,
            str(row.topology.size),
            row.compressor,
            *(f"{number:.3g}" for number in numbers),
            f"{found.rate:.4f}",
            f"{found.largest_stable:.2g}",
            f"{found.safe:.2g}",
        )
    return drawn(made, width)
