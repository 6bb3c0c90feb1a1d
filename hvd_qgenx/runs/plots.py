"""What plots have in common: legends that leave the panels their room, and files."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from hvd_qgenx.captions import wrapped
from hvd_qgenx.runs.folder import write_atomically

matplotlib.use("Agg")

DPI = 130
MOST_COLUMNS = 5
FONT = 8
"""Points of a legend's font."""
BESIDE, CHARACTER, BETWEEN, HEIGHT = 0.6, 0.068, 0.055, 0.135
"""Inches of a legend: beside and between the texts of its entries, and of a character and a line."""


def entries(panels: Iterable[Axes]) -> dict[str, Any]:
    """Returns what the legend of some panels shows: their handles by label, each once."""
    found: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(wrapped(label), handle)
    return found


def draw_legend(figure: FigureBase, shown: Mapping[str, Any], width: float) -> float:
    """Draws a legend above the panels of a figure of this width; returns the inches that it needs beyond one line."""
    if not shown:
        return 0.0
    widest = max(len(line) for label in shown for line in label.splitlines())
    columns = min(MOST_COLUMNS, len(shown), max(1, int(width / (BESIDE + CHARACTER * widest))))
    figure.legend(
        handles=list(shown.values()), labels=list(shown), loc="outside upper left", ncols=columns, fontsize=FONT
    )
    lines = 1 + max(label.count("\n") for label in shown)
    return (HEIGHT * lines + BETWEEN) * math.ceil(len(shown) / columns) - HEIGHT


def heighten(figure: Figure, inches: float) -> None:
    """Makes room for what was added to a figure."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + inches)


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG, and closes the figure."""
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=DPI))
    plt.close(figure)
