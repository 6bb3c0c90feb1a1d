"""The picture of an experiment: errors against iterations, gradient passes and bytes."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from hvd_qgenx.runs import plots
from hvd_qgenx.tasks.logistic.results import LOCAL, RESOLUTION, Curves, Results

AGAINST = {"k": "iteration", "passes": "passes over a worker's samples", "megabytes": "MB sent by one worker"}
SHOWN = {
    "gap": "f - f*",
    "squared_distance": "|x - x*|^2",
    "worst_gap": "f - f* of the worst worker",
    "consensus": "mean of |x_i - x|^2",
    "largest_integer": "largest integer of a worker",
    "largest_sum": "largest sum of integers",
}
ZERO = -300
"""Logarithms below this are of no error at all, like the distances of workers at the start, and are not drawn."""
COLORS = 10
"""Colors of matplotlib's cycle."""
STYLES = ("-", "--", ":")
"""Lines of the first, second and third cycle of colors."""


def draw(results: Results, path: Path) -> None:
    """Writes a PNG: a row of panels for each error, and rows for the largest integers and sums where some are sent."""
    rows = [name for name in SHOWN if any(_has(curves, name) for curves in results.curves)]
    columns = [name for name in AGAINST if any(curves.axis(name)[-1] > 0 for curves in results.curves)]
    width = max(4.2 * len(columns), 6)
    size = (width, 3.4 * len(rows) + 0.6)
    figure, grid = plt.subplots(len(rows), len(columns), figsize=size, layout="constrained", squeeze=False)
    for name, line in zip(rows, grid, strict=True):
        for against, axes in zip(columns, line, strict=True):
            for number, curves in enumerate(results.curves):
                if not _has(curves, name):
                    continue
                _draw(axes, curves, name, against, f"C{number}", STYLES[number // COLORS % len(STYLES)])
            axes.set(xlabel=AGAINST[against], ylabel=SHOWN[name], yscale="log")
            axes.grid(alpha=0.3)
    problem = results.experiment.problem
    grid[0, 0].set_title(f"{problem.name}, {problem.workers} workers, l2 = {problem.l2:g}", loc="left")
    plots.heighten(figure, plots.draw_legend(figure, plots.entries(grid[0, :1]), width))
    plots.save(figure, path)


def _has(curves: Curves, name: str) -> bool:
    """Tells whether there is anything to draw of a value."""
    if name in LOCAL:
        return curves.is_local
    return name in RESOLUTION or curves.largest(name) > 0


def _draw(axes: Axes, curves: Curves, name: str, against: str, color: str, style: str) -> None:
    """An error as mean over seeds of the logarithm, within one standard deviation; an integer as the largest."""
    x = curves.axis(against)
    if name not in RESOLUTION and name not in LOCAL:
        largest = curves.columns[name].max(0)
        axes.plot(x, np.where(largest > 0, largest, np.nan), style, color=color)
        return
    mean, deviation = curves.logarithms(name)
    x, mean, deviation = (each[mean > ZERO] for each in (x, mean, deviation))
    axes.plot(x, 10**mean, style, color=color, label=f"{curves.method}, step {curves.lr:.3g}")
    axes.fill_between(x, 10 ** (mean - deviation), 10 ** (mean + deviation), color=color, alpha=0.15, linewidth=0)
