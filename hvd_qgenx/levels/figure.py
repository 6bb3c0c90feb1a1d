"""The picture of level sets: where the levels lie over the density, their errors, their bits."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from compressors.levels.distribution import Histogram
from hvd_qgenx.levels.comparison import BITS, Comparison, LevelSet

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MARKERS = {"fixed": "s", "bound": "|", "omega": "x", "entropy": "o"}
"""Markers of the kinds of bits; Huffman's are bars."""

TITLES = ("levels, sized by use, over the density", "error", "bits of a coordinate")
LABELS = ("magnitude / norm", "E||Q(v) - v||² / ||v||²", "bits, with the sign")


def draw(comparison: Comparison, path: Path) -> None:
    """Writes a PNG: one row of panels for every number of bits, one line for every level set."""
    sets = comparison.rows
    groups = [[row for row in sets if row.bits == bits] for bits in dict.fromkeys(row.bits for row in sets)]
    heights = [0.28 * len(rows) + 0.4 for rows in groups]
    figure, grid = plt.subplots(
        len(groups),
        3,
        sharex="col",
        squeeze=False,
        width_ratios=(2, 1, 1),
        height_ratios=heights,
        layout="constrained",
        figsize=(14, sum(heights) + 1.8),
    )
    for panels, rows in zip(grid, groups, strict=True):
        for panel, content in zip(panels, (_levels, _errors, _bits), strict=True):
            panel.set(ylim=(-0.5, len(rows) - 0.5), yticks=[])
            content(panel, rows[::-1], comparison.magnitudes)
    for column, title, label in zip(grid.T, TITLES, LABELS, strict=True):
        column[0].set_title(title)
        column[-1].set_xlabel(label)
    handles = [handle for panel in grid[0] for handle in panel.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower right", ncols=len(handles), fontsize=9)
    figure.suptitle(comparison.title)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _levels(axes: Axes, rows: list[LevelSet], magnitudes: Histogram) -> None:
    edges, mass = magnitudes.edges[1:-1], magnitudes.mass[1:-1]  # without what is below all bins, and 1 alone
    density = mass / np.log(edges[1:] / edges[:-1])
    axes.stairs(len(rows) * density / density.max() - 0.5, edges, baseline=-0.5, fill=True, color="0.9")
    for y, row in enumerate(rows):
        axes.axhline(y, color="0.7", linewidth=0.5)
        axes.scatter(row.levels, np.full(len(row.levels), y), 4 + 150 * np.array(row.probabilities), zorder=3)
    below = magnitudes.mass[0]
    axes.set(xscale="log", xlim=(magnitudes.quantile(below + 0.01 * (1 - below)), 1.2))
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylabel(f"{rows[0].bits} bits")


def _errors(axes: Axes, rows: list[LevelSet], _: Histogram) -> None:
    for y, row in enumerate(rows):
        axes.plot([row.relative_error, row.epsilon], [y, y], color="0.8", linewidth=1)
    axes.plot([row.relative_error for row in rows], range(len(rows)), "o", label="expected error")
    axes.plot([row.epsilon for row in rows], range(len(rows)), "k|", markersize=9, label="its bound for any vector")
    axes.set_xscale("log")
    axes.grid(axis="x", alpha=0.3)


def _bits(axes: Axes, rows: list[LevelSet], _: Histogram) -> None:
    axes.barh(range(len(rows)), [row.huffman for row in rows], color="tab:green", alpha=0.6, label=BITS["huffman"])
    for field, marker in MARKERS.items():
        bits = [getattr(row, field) for row in rows]
        axes.plot(bits, range(len(rows)), f"k{marker}", markersize=5, fillstyle="none", label=BITS[field])
    axes.grid(axis="x", alpha=0.3)
