"""Topologies compared: degrees, spectral gaps, rounds to consensus, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray
from rich.table import Table

from hvd_qgenx.gossip.spectrum import Spectrum, analyse, consensus_errors
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.tables import drawn

ROUNDS = 40
"""Rounds whose consensus errors are simulated."""
CAPTION = (
    "degree: ranks that one sends to in a round; gap and rate: a round multiplies the squared distance to consensus by "
    "(1 - gap)² at most; exact after: rounds until all have the mean; bytes: over those of a ring all-reduce"
)


@dataclass(frozen=True)
class Row:
    """One topology and its measures."""

    topology: Topology
    spectrum: Spectrum
    errors: NDArray[Any]
    """Squared distances to consensus after 0 to ``ROUNDS`` rounds, over the first."""

    @property
    def label(self) -> str:
        return f"{self.topology.name}, {self.topology.size} rank{'s' * (self.topology.size > 1)}"

    @property
    def traffic(self) -> float | None:
        """Bytes that a rank sends in a round, over those of a ring all-reduce, 2 (n - 1) / n; None for one rank."""
        n = self.topology.size
        return self.spectrum.mean_degree * n / (2 * (n - 1)) if n > 1 else None

    def as_dict(self) -> dict[str, Any]:
        """Returns all measures as plain values."""
        return {
            "topology": self.topology.name,
            "ranks": self.topology.size,
            "period": self.topology.period,
            **asdict(self.spectrum),
            "rate": self.spectrum.rate,
            "traffic": self.traffic,
            "consensus_errors": self.errors.tolist(),
        }


def measure(topology: Topology) -> Row:
    """Measures one topology, with the consensus errors of a fixed random start."""
    return Row(topology, analyse(topology), consensus_errors(topology, ROUNDS))


def table(rows: Sequence[Row], width: int) -> str:
    """Returns a table as text, a line for each topology."""
    made = Table(title="topologies", caption=CAPTION)
    for heading in ("topology", "ranks", "degree", "edges", "period", "gap", "rate", "exact after", "bytes"):
        made.add_column(heading, justify="left" if heading in ("topology", "edges") else "right")
    for row in rows:
        made.add_row(*_cells(row))
    return drawn(made, width)


def _cells(row: Row) -> tuple[str, ...]:
    found = row.spectrum
    degree = str(found.least_degree)
    if found.least_degree != found.largest_degree:
        degree = f"{found.least_degree} / {found.mean_degree:.2f} / {found.largest_degree}"
    return (
        row.topology.name,
        str(row.topology.size),
        degree,
        "directed" if found.directed else "symmetric",
        "none" if row.topology.period is None else str(row.topology.period),
        f"{found.gap:.4f}",
        f"{found.rate:.4g}",
        "never" if found.rounds is None else str(found.rounds),
        "" if row.traffic is None else f"{row.traffic:.3g}",
    )
