"""Errors of compressors in every group of tensors, with one set of levels for all and with levels of its own."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import matplotlib
import torch
from rich.table import Table
from torch import Tensor

from compressors import AdaptiveLevels, Compressor, LayerWise
from hvd_qgenx.levels.comparison import ALL
from hvd_qgenx.tables import drawn

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Totals = dict[str, float]
"""Sums by group."""
Members = Sequence[tuple[str, Tensor]]
"""Groups and tensors."""


@dataclass(frozen=True)
class LayerCost:
    """The cost of one compressor in one group of tensors. Bits are bits of the payload over the coordinates."""

    source: str
    compressor: str
    setting: str
    layer: str
    """The group, or ``ALL``."""
    coordinates: int
    energy: float
    """Share of the squared norm of all tensors."""
    error: float
    """||Q(x) - x||^2 / ||x||^2 where all tensors share levels."""
    bits: float
    apart_error: float | None
    """The same where tensors share levels, but no bucket holds coordinates of two groups; None without such levels."""
    own_error: float | None
    """The same where the group has levels of its own, and buckets too."""
    own_bits: float | None


def measure_layers(
    names: tuple[str, str, str], compressor: Compressor, members: Members, draws: int, layer_bits: str
) -> list[LayerCost]:
    """Compresses all tensors as a run does, once laid end to end and once by groups; levels are fitted first.

    Args:
        names: of source, compressor and setting, for the rows.
        compressor: copies of it are used.
        members: the tensors with their groups; not all zero.
        draws: compressions that errors are averaged over; where levels adapt, errors are expectations instead.
        layer_bits: as of ``LayerWise``.

    Returns:
        A row for every group, and one for all.
    """
    vectors, learns = by_group(members), compressor.learner is not None
    squares = {group: _squares(vector) for group, vector in vectors.items()}
    together, bits = _together(compressor.for_rank(0), members, draws)
    (apart, _), (own, sizes) = _alone(compressor.for_rank(0), vectors, layer_bits) if learns else 2 * [({}, {})]

    def row(layer: str, *groups: str) -> LayerCost:
        def total(values: Mapping[str, float], divisor: float = 1.0) -> float:
            return sum(values[group] for group in groups) / divisor if divisor else 0.0

        count, energy = total({group: len(vector) for group, vector in vectors.items()}), total(squares)
        return LayerCost(
            *(*names, layer, int(count), energy / sum(squares.values())),
            error=total(together, energy),
            bits=bits,
            apart_error=total(apart, energy) if learns else None,
            own_error=total(own, energy) if learns else None,
            own_bits=8 * total(sizes, count) if learns else None,
        )

    return [*(row(group, group) for group in vectors), row(ALL, *vectors)]


def by_group(members: Members) -> dict[str, Tensor]:
    """Returns the tensors of every group laid end to end."""
    found: dict[str, list[Tensor]] = {}
    for group, tensor in members:
        found.setdefault(group, []).append(tensor.flatten())
    return {group: torch.cat(found[group]) for group in sorted(found)}


def _together(compressor: Compressor, members: Members, draws: int) -> tuple[Totals, float]:
    """Returns the squared error of every group, and the bits of a coordinate, with one compressor for all tensors."""
    vector = torch.cat([tensor.flatten() for _, tensor in members])
    compressor.lay_out([tensor.shape for _, tensor in members])
    payload, context = compressor.compress(vector)
    if isinstance(compressor.learner, AdaptiveLevels):
        compressor.learner.apply(compressor.learner.fit([compressor.learner.observe(vector)]))
        errors = compressor.learner.variances(vector)
    else:
        errors = (compressor.decompress(payload, context) - vector).double().square() / draws
        for _ in range(draws - 1):
            errors += (compressor.decompress(*compressor.compress(vector)) - vector).double().square() / draws
    found: Totals = {}
    for (group, _), part in zip(members, errors.split([tensor.numel() for _, tensor in members]), strict=True):
        found[group] = found.get(group, 0.0) + float(part.sum())
    return found, 8 * payload.nbytes / len(vector)


def _alone(compressor: Compressor, vectors: Mapping[str, Tensor], layer_bits: str) -> list[tuple[Totals, Totals]]:
    """Returns squared errors and bytes of groups, first with levels fitted to all of them, then with their own."""
    layers = LayerWise(compressor, {group: group for group in vectors}, layer_bits)
    observed = {group: [layers.learners[group].observe(vector)] for group, vector in vectors.items()}
    sizes, found = {group: len(vector) for group, vector in vectors.items()}, []
    shared = next(iter(layers.learners.values())).fit([own for (own,) in observed.values()])
    for own in (False, True):
        layers.apply(layers.fit(observed, sizes) if own else dict.fromkeys(vectors, shared))
        errors = {group: part.variance_bound(vectors[group]) for group, part in layers.parts.items()}
        found.append((errors, {group: float(part.payload_bytes(sizes[group])) for group, part in layers.parts.items()}))
    return found


def _squares(vector: Tensor) -> float:
    return float(vector.double().square().sum())


def as_dicts(costs: Sequence[LayerCost]) -> list[dict[str, Any]]:
    """Returns a row for every cost; None stands for a compressor without levels to adapt."""
    return [asdict(cost) for cost in costs]


def write_csv(costs: Sequence[LayerCost], path: Path) -> None:
    """Writes the rows."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(LayerCost)])
        table.writeheader()
        table.writerows(as_dicts(costs))


def tables(costs: Sequence[LayerCost], width: int) -> str:
    """Returns a table as text for every compressor on every source."""
    return "\n".join(drawn(_table(title, rows), width) for title, rows in _by_compressor(costs))


def _table(title: str, costs: Sequence[LayerCost]) -> Table:
    table = Table(title=title)
    table.add_column("layer")
    for heading in ("coordinates", "energy", "error", "bits", "own buckets", "own levels", "bits", "own / shared"):
        table.add_column(heading, justify="right")
    for cost in costs:
        table.add_row(
            cost.layer,
            f"{cost.coordinates:,}",
            f"{cost.energy:.1%}",
            f"{cost.error:.3g}",
            f"{cost.bits:.3f}",
            *_own(cost),
        )
    return table


def _own(cost: LayerCost) -> list[str]:
    if cost.apart_error is None or cost.own_error is None:
        return 4 * ["-"]
    ratio = f"{cost.own_error / cost.apart_error:.3f}" if cost.apart_error else "-"
    return [f"{cost.apart_error:.3g}", f"{cost.own_error:.3g}", f"{cost.own_bits:.3f}", ratio]


def _by_compressor(costs: Sequence[LayerCost]) -> Iterator[tuple[str, list[LayerCost]]]:
    def key(cost: LayerCost) -> str:
        return (
            f"{cost.compressor}, {cost.setting} on {cost.source}"
            if cost.setting
            else f"{cost.compressor} on {cost.source}"
        )

    for title in dict.fromkeys(map(key, costs)):
        yield title, [cost for cost in costs if key(cost) == title]


def draw(costs: Sequence[LayerCost], path: Path) -> None:
    """Writes a PNG: a panel for every compressor on every source, with the errors of every layer."""
    panels = list(_by_compressor(costs))
    height = max(len(rows) for _, rows in panels)
    figure, grid = plt.subplots(
        *(len(panels), 1), figsize=(8, (1.2 + 0.35 * height) * len(panels)), squeeze=False, layout="constrained"
    )
    shown: Sequence[tuple[str, str, Callable[[LayerCost], float | None]]] = (
        ("one set of levels", "o", lambda cost: cost.error),
        ("the same, in buckets of its own", "s", lambda cost: cost.apart_error),
        ("levels of its own", "D", lambda cost: cost.own_error),
    )
    for panel, (title, rows) in zip(grid[:, 0], panels, strict=True):
        for label, marker, value in shown:
            points = [(value(row), y) for y, row in enumerate(reversed(rows)) if value(row) is not None]
            if points:
                panel.plot(*zip(*points, strict=True), marker, label=label, fillstyle="none")
        panel.set_yticks(range(len(rows)), [row.layer for row in reversed(rows)])
        panel.set(xscale="log", title=title)
        panel.grid(alpha=0.3)
    grid[-1, 0].set_xlabel("||Q(x) - x||² / ||x||²")
    grid[0, 0].legend(fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)
