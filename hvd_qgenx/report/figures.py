"""Figures of a comparison."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from hvd_qgenx.captions import LINE, clip, wrapped
from hvd_qgenx.report.comparison import Comparison, name_of, weights_of
from hvd_qgenx.report.curves import Curve, curve
from hvd_qgenx.report.groups import Group, Mode
from hvd_qgenx.report.recorded import Array, Recorded
from hvd_qgenx.report.text import number
from hvd_qgenx.runs import plots

WIDE = 4.0
"""The ratio of largest to smallest value from which an axis is logarithmic."""
AGAINST = {
    "update": "updates",
    "epochs": "epochs",
    "seconds": "seconds of training",
    "megabytes": "MB sent by one rank",
}

PHASES = {
    "data": "#8c8c8c",
    "forward": "#9ccbe8",
    "backward": "#0072B2",
    "generator_forward": "#9ccbe8",
    "generator_backward": "#0072B2",
    "discriminator_forward": "#f7b98b",
    "discriminator_backward": "#D55E00",
    "penalty": "#CC79A7",
    "optimizer": "#009E73",
    "waiting": "#ffffff",
}
"""Colours of the phases of training; waiting is white with stripes."""
THREAD = {"encode": "#56B4E9", "wire": "#bfbfbf", "decode": "#E69F00"}
"""Colours of the phases of the exchange's thread."""
STRIPES = {"hatch": "////", "edgecolor": "#555555", "linewidth": 0.5}

NEAR = 5.0
"""A reference line is drawn if the lowest score is less than this many times higher."""

_AS_WRITTEN = matplotlib.rc_context({"text.parse_math": False})
"""Switches off Matplotlib's formulas, since names come from users and may look like some."""


@_AS_WRITTEN
def draw_scores(comparison: Comparison, path: Path) -> None:
    """Writes a PNG: the first score against updates or epochs, seconds and MB, as far as known; a row for every place.

    Lines are means over the seeds of finished runs, bands show their range; interrupted and diverged runs are dotted.
    """
    column = str(comparison.score)
    places = comparison.places
    ends = {against: [_end(group, column, against) for group in comparison.groups] for against in AGAINST}
    known = {against: label for against, label in AGAINST.items() if max(ends[against]) > 0}
    if "epochs" in known:  # they replace updates
        del known["update"]
    figure, grid = _panels(len(places), len(known), height=3.5, sharey=True)
    for axes, (place, groups) in zip(grid, places.items(), strict=True):
        for panel, (against, label) in zip(axes, known.items(), strict=True):
            for group in groups:
                _draw_curve(panel, group.mode, group.score(column), against)
                for record in group.left_out:
                    _draw_interrupted(panel, group, record, column, against)
            _draw_levels(panel, comparison, place)
            panel.set_xlabel(label)
            panel.grid(alpha=0.3)
            if against != "update":
                _widen(panel, "x", [end for group in groups if (end := _end(group, column, against))])
        axes[0].set_ylabel(column)
        axes[0].set_title(clip(place, 2 * LINE), loc="left")
    _widen(grid[0, 0], "y", [*_heights(comparison, [column]), *_floor(comparison)])
    _finish(figure, grid, path)


@_AS_WRITTEN
def draw_weights(comparison: Comparison, path: Path) -> None:
    """Writes a PNG: all scores of all weights against updates, a row for every score."""
    names = list(dict.fromkeys(map(name_of, comparison.columns)))
    weights = list(dict.fromkeys(map(weights_of, comparison.columns)))
    figure, grid = _panels(len(names), len(weights), height=2.8, sharex=True, sharey="row")
    for axes, name in zip(grid, names, strict=True):
        for panel, weight in zip(axes, weights, strict=True):
            _draw_modes(panel, comparison, partial(Group.score, column=f"{name}/{weight}"))
        _widen(axes[0], "y", _heights(comparison, [f"{name}/{weight}" for weight in weights]))
        axes[0].set_ylabel(name)
    for weight, top, bottom in zip(weights, grid[0], grid[-1], strict=True):
        top.set_title(f"{weight} weights")
        bottom.set_xlabel("updates")
    _finish(figure, grid, path)


@_AS_WRITTEN
def draw_losses(comparison: Comparison, path: Path) -> None:
    """Writes a PNG: the losses against updates and, below, MB, if any are sent."""
    shown = ("update", "megabytes") if comparison.sends else ("update",)
    figure, grid = _panels(len(shown), len(comparison.losses), height=2.8, sharey="col")
    for panels, column in zip(grid.T, comparison.losses, strict=True):
        for panel, against in zip(panels, shown, strict=True):
            _draw_modes(panel, comparison, partial(Group.metric, column=column), against, bare=True)
            panel.set(xlabel=AGAINST[against], ylabel="loss")
        if comparison.sends:
            ends = (group.metric(column) for group in comparison.groups)
            _widen(panels[1], "x", [float(end.megabytes[-1]) for end in ends if end and end.megabytes[-1] > 0])
        panels[0].set_title(column.removeprefix("loss/"))
    _finish(figure, grid, path)


@_AS_WRITTEN
def draw_integers(comparison: Comparison, path: Path) -> None:
    """Writes a PNG: scale and largest values of the integers that are summed, against updates."""
    figure, grid = _panels(1, len(comparison.integers), height=2.8)
    for panel, column in zip(grid[0], comparison.integers, strict=True):
        _draw_modes(panel, comparison, partial(Group.metric, column=column), "update", bare=True)
        panel.set(xlabel=AGAINST["update"], title=column.removeprefix("integers/").replace("_", " "))
        _make_logarithmic(panel, "y")
    _finish(figure, grid, path)


@_AS_WRITTEN
def draw_breakdown(comparison: Comparison, path: Path) -> None:
    """Writes a PNG: the time breakdown of an update, a panel for every place, two bars for every group.

    The thick bar shows training, the thin one the exchange's thread, which works at the same time.
    """
    places = comparison.places
    heights = [0.62 * len(groups) + 0.75 for groups in places.values()]
    figure, grid = plt.subplots(
        len(places), 1, figsize=(10, sum(heights) + 0.9), height_ratios=heights, squeeze=False, layout="constrained"
    )
    shown = _measured(comparison, PHASES)
    for panel, (place, groups) in zip(grid[:, 0], places.items(), strict=True):
        tops = np.arange(len(groups))[::-1].astype(float)
        reach = np.maximum(
            _stack(panel, groups, shown, tops + 0.1, 0.46), _stack(panel, groups, THREAD, tops - 0.25, 0.16)
        )
        for top, end, group in zip(tops, reach, groups, strict=True):
            total = group.per_update("seconds/update")
            if total:
                panel.text(end, top + 0.1, f"  {number(total.mean, 3)} s", va="center", fontsize=9)
        panel.set_yticks(tops, [wrapped(group.name) for group in groups], fontsize=9)
        panel.set_title(clip(place, 2 * LINE), loc="left")
        panel.set_xlabel("seconds per update")
        panel.set(xlim=(0, 1.12 * max(reach) or 1), ylim=(-0.5, len(groups) - 0.5))
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    split = len(shown)
    figure.legend(handles[:split], labels[:split], loc="outside upper left", ncols=4, fontsize=8, title="training")
    figure.legend(
        handles[split:], labels[split:], loc="outside upper right", ncols=1, fontsize=8, title="exchange thread"
    )
    plots.save(figure, path)


@_AS_WRITTEN
def draw_samples(pictures: Sequence[tuple[str, Path]], path: Path) -> None:
    """Writes a PNG: sample pictures with their titles, at most four in a row."""
    columns = min(4, len(pictures))
    figure, grid = _panels(math.ceil(len(pictures) / columns), columns, height=4.3)
    for panel in grid.flat:
        panel.axis("off")
    for panel, (title, picture) in zip(grid.flat, pictures, strict=False):
        with Image.open(picture) as image:
            panel.imshow(np.asarray(image.convert("RGB")))
        panel.set_title(title, fontsize=10)
    plots.save(figure, path)


def _panels(rows: int, columns: int, height: float, **shared: Any) -> tuple[Figure, Any]:
    size = (max(4.2 * columns, 6), height * rows + 0.5)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **shared)
    return figure, grid


def _draw_modes(
    panel: Axes,
    comparison: Comparison,
    find: Callable[[Group], Curve | None],
    against: str = "update",
    bare: bool = False,
) -> None:
    """Draws one curve of every mode, since curves over other links would be the same."""
    for mode in comparison.modes:
        curves = (find(group) for group in comparison.groups if group.mode is mode)
        _draw_curve(panel, mode, next(filter(None, curves), None), against, bare)
    panel.grid(alpha=0.3)


def _draw_curve(panel: Axes, mode: Mode, curve: Curve | None, against: str, bare: bool = False) -> None:
    """Draws the mean over runs with a band from the smallest to the largest; ``bare``: without markers."""
    if curve is None:
        return
    shown = slice(None) if against == "update" else curve.update > 0  # that axis may be logarithmic
    x: Array = getattr(curve, against)[shown]
    low, mean, high = (values[shown] for values in (curve.values.min(0), curve.mean, curve.values.max(0)))
    style: dict[str, Any] = {"linewidth": 1.0} if bare else {"linewidth": 1.4, "marker": mode.marker, "markersize": 4}
    style |= {"color": mode.color, "linestyle": mode.line, "label": mode.name}
    panel.plot(x, mean, markevery=max(1, len(x) // 10), **style)
    panel.fill_between(x, low, high, color=mode.color, alpha=0.15, linewidth=0)


def _draw_interrupted(panel: Axes, group: Group, record: Recorded, column: str, against: str) -> None:
    own = curve([record.scores], column)
    if own is not None:
        label = f"{group.name}, {'diverged' if record.divergence else 'interrupted'}"
        panel.plot(getattr(own, against), own.mean, ":", color=group.mode.color, linewidth=1.0, label=label)


def _draw_levels(panel: Axes, comparison: Comparison, place: str) -> None:
    """Draws lines at the baseline's final score and at the score that no model can be expected to beat."""
    baseline = comparison.baseline(place)
    final = baseline.score(str(comparison.score)) if baseline else None
    if baseline and final:
        style: dict[str, Any] = {"color": baseline.mode.color, "linewidth": 0.8, "linestyle": "--"}
        panel.axhline(final.mean[-1], label="baseline's final score", **style)
    for height in _floor(comparison):
        panel.axhline(height, color="#777777", linewidth=1.2, linestyle=":", label="best possible")


def _floor(comparison: Comparison) -> list[float]:
    """Returns the best possible score if it is near enough to be drawn with the rest, else nothing."""
    lowest = min(_heights(comparison, [str(comparison.score)]), default=0.0)
    floor = comparison.floor
    return [floor] if floor is not None and floor > lowest / NEAR else []


def _heights(comparison: Comparison, columns: Sequence[str]) -> list[float]:
    """Returns the smallest and largest score of every group."""
    curves = [group.score(column) for column in columns for group in comparison.groups]
    return [float(value) for own in curves if own for value in (own.values.min(), own.values.max())]


def _end(group: Group, column: str, against: str) -> float:
    """Returns a group's last position on this axis; 0 if unknown."""
    own = group.score(column)
    return float(np.nan_to_num(getattr(own, against)[-1])) if own else 0.0


def _widen(panel: Axes, which: str, values: Sequence[float]) -> None:
    """Makes the axis x or y logarithmic if its values span a large range."""
    if not values or min(values) <= 0 or max(values) / min(values) < WIDE:
        return
    _make_logarithmic(panel, which)


def _make_logarithmic(panel: Axes, which: str) -> None:
    """Makes the axis x or y logarithmic, with plain numbers at its ticks."""
    subs = (1.0, 2.0, 5.0) if which == "y" else (1.0, 3.0)
    panel.set(**{f"{which}scale": "log"})
    axis = getattr(panel, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _measured(comparison: Comparison, parts: dict[str, str]) -> dict[str, str]:
    """Returns the parts of an update's time that any group has."""
    return {
        part: color
        for part, color in parts.items()
        if any(group.per_update(f"seconds/{part}") for group in comparison.groups)
    }


def _stack(panel: Axes, groups: Sequence[Group], parts: dict[str, str], places: Array, height: float) -> Array:
    """Draws stacked horizontal bars of seconds per update; returns their ends."""
    start = np.zeros(len(groups))
    for part, color in parts.items():
        spreads = [group.per_update(f"seconds/{part}") for group in groups]
        width = np.array([spread.mean if spread else 0.0 for spread in spreads])
        stripes: dict[str, Any] = STRIPES if part == "waiting" else {}
        panel.barh(places, width, height, start, color=color, label=part.replace("_", " "), **stripes)
        start += width
    return start


def _finish(figure: Figure, grid: Any, path: Path) -> None:
    """Draws one legend above all panels, with room of its own, and saves the figure."""
    width, _ = figure.get_size_inches()
    plots.heighten(figure, plots.draw_legend(figure, plots.entries(grid.flat), width))
    plots.save(figure, path)
