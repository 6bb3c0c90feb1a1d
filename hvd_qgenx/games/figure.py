"""The picture of a comparison: gap against iterations and against bytes, distance, trajectories."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from hvd_qgenx.games.base import Game
from hvd_qgenx.games.play import SHORT
from hvd_qgenx.games.results import Array, Curves, Results
from hvd_qgenx.runs import plots

DASHES = ("-", "--", ":", "-.")
"""For the numbers of workers."""
MARKERS = "oD^svPX*"
"""For methods with compressors, with one colour each."""

Line = tuple[Curves, dict[str, Any]]
"""Curves, and how they are drawn."""


def draw(results: Results, game: Game, path: Path) -> None:
    """Writes a PNG: one row of panels for every noise.

    Lines are means over seeds, bands reach over all seeds. Trajectories are drawn of every method
    with the first compressor, number of workers and seed, in the first coordinate of the first and
    of the last player.
    """
    panels = [_Row.gap_over_iterations]
    if any(curves.megabytes[-1] > 0 for curves in results.curves):
        panels.append(_Row.gap_over_megabytes)
    if game.solution is not None:
        panels.append(_Row.distance)
    panels.append(_Row.trajectory)
    lines = list(zip(results.curves, _styles(results), strict=True))
    noises = list(dict.fromkeys(curves.case.noise for curves in results.curves))
    width = max(4.2 * len(panels), 9)
    figure = plt.figure(figsize=(width, 4.0 * len(noises)), layout="constrained")
    grid: Any = figure.subfigures(len(noises), 1, squeeze=False)
    for part, noise in zip(grid[:, 0], noises, strict=True):
        row = _Row([line for line in lines if line[0].case.noise == noise], results, game)
        axes = part.subplots(1, len(panels), squeeze=False)[0]
        for panel, own in zip(panels, axes, strict=True):
            panel(row, own)
        axes[0].set_title(f"{results.game}, noise: {noise}", loc="left")
        plots.heighten(figure, plots.draw_legend(part, plots.entries(axes[:1]), width))
    plots.save(figure, path)


@dataclass(frozen=True)
class _Row:
    """The panels of one noise."""

    lines: list[Line]
    results: Results
    game: Game

    def gap_over_iterations(self, axes: Axes) -> None:
        for curves, style in self.lines:
            _band(axes, curves.t, curves.gaps, label=self._label(curves), **style)
        self._finish_gap(axes, "iteration")

    def gap_over_megabytes(self, axes: Axes) -> None:
        for curves, style in self.lines:
            if curves.megabytes[-1] > 0:  # a single worker sends nothing
                _band(axes, curves.megabytes, curves.gaps, **style)
        self._finish_gap(axes, "MB sent by one worker")

    def distance(self, axes: Axes) -> None:
        for curves, style in self._bounded():
            axes.plot(curves.t, curves.distances.mean(0), **style)
        axes.set(xlabel="iteration", ylabel="distance of the last iterate", yscale="log")
        if self.results.iterations > SHORT:
            axes.set_xscale("log")
        axes.grid(alpha=0.3)

    def trajectory(self, axes: Axes) -> None:
        first_of = {curves.case.method: (curves, style) for curves, style in reversed(self.lines)}
        for curves, style in reversed(first_of.values()):
            axes.plot(*curves.shown.T, **style, alpha=0.8)
        points = np.concatenate([curves.shown for curves, _ in self._bounded() or self.lines])
        margin = 0.08 * np.ptp(points, axis=0) + 1e-3
        low, high = points.min(0) - margin, points.max(0) + margin
        first, *_, last = self.game.players
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set(xlabel=f"first coordinate of {first}", ylabel=f"first coordinate of {last}")
        if self.game.dimension == 2:
            _arrows(axes, self.game, low, high)
        solution = self.game.solution
        if solution is not None:
            axes.plot(solution[0], solution[-self.game.players[last]], "k+", markersize=12, markeredgewidth=2)

    def _finish_gap(self, axes: Axes, against: str) -> None:
        """Names the axes, and leaves what diverges outside."""
        axes.set(xlabel=against, ylabel=f"{self.results.gap_name} of the average")
        if bounded := self._bounded():
            axes.set_ylim(top=3 * max(curves.gaps[:, 1:].max() for curves, _ in bounded))

    def _bounded(self) -> list[Line]:
        return [line for line in self.lines if not line[0].diverged_at]

    def _label(self, curves: Curves) -> str:
        method, compressor, workers, _ = curves.case
        slope = self.results.slope(curves)
        fate = " (diverges)" if curves.diverged_at else "" if slope is None else f" (slope {slope:.2f})"
        return f"{method}, {compressor}, K = {workers}{fate}"


def _styles(results: Results) -> list[dict[str, Any]]:
    """Returns the style of each case: colour and marker tell method and compressor, dashes the number of workers."""
    pairs = list(dict.fromkeys((curves.case.method, curves.case.compressor) for curves in results.curves))
    workers = list(dict.fromkeys(curves.case.workers for curves in results.curves))
    colors = matplotlib.color_sequences["tab10" if len(pairs) <= 10 else "tab20"]
    looks = {
        pair: {"color": color, "marker": marker}
        for pair, color, marker in zip(pairs, itertools.cycle(colors), itertools.cycle(MARKERS), strict=False)
    }
    return [
        {
            **looks[curves.case.method, curves.case.compressor],
            "linestyle": DASHES[workers.index(curves.case.workers) % len(DASHES)],
            "linewidth": 1.2,
            "markersize": 4,
            "markevery": max(1, len(curves.t) // 8),
        }
        for curves in results.curves
    ]


def _band(axes: Axes, x: Array, values: Array, label: str | None = None, **style: Any) -> None:
    """The mean over seeds of (seeds, n) values against x, with a band from the least to the largest."""
    inside = x > 0
    axes.plot(x[inside], values.mean(0)[inside], label=label, **style)
    low, high = values.min(0)[inside], values.max(0)[inside]
    axes.fill_between(x[inside], low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log")
    axes.grid(alpha=0.3)


def _arrows(axes: Axes, game: Game, low: Array, high: Array) -> None:
    """The direction -A in which simultaneous gradient steps go."""
    x, y = np.meshgrid(np.linspace(low[0], high[0], 14), np.linspace(low[1], high[1], 14))
    points = torch.tensor(np.stack([x.ravel(), y.ravel()], axis=1))
    directions = -torch.stack([game.operator(point) for point in points]).numpy()
    axes.quiver(x.ravel(), y.ravel(), *directions.T, color="0.8", width=0.003)
