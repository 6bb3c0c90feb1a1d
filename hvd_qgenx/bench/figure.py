"""Figures of the measurements and of the cost model."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from hvd_qgenx.bench.codec import ACTIONS
from hvd_qgenx.bench.model import best_slices
from hvd_qgenx.bench.tables import Row, exchange_tables, group, label, setting
from hvd_qgenx.exchange import ConcreteExchange
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks
from hvd_qgenx.exchange.registry import concrete

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MARKERS = "os^vDP*X<>dph"
LINES = {"allgather": ":", "hierarchical": "o--"}
"""Line styles of exchanges in the figure of the model; all others are solid."""
COLORS = {"encode": "tab:blue", "wire": "0.75", "decode": "tab:orange"}


def draw_codec(rows: Sequence[Row], path: Path) -> None:
    """Writes a PNG: speed relative to a copy against size, a panel for every action, a line for every compressor."""
    figure, panels = plt.subplots(1, len(ACTIONS), figsize=(15, 5.2), sharey=True, layout="constrained")
    lines = group(rows, lambda row: (label(row), row["device"], row["dtype"], row["threads"]))
    varied = [len({key[place] for key in lines}) > 1 for place in range(4)]
    colors = matplotlib.color_sequences["tab20"]
    for panel, action in zip(panels, ACTIONS, strict=True):
        looks = zip(itertools.cycle(colors), itertools.cycle(MARKERS), strict=False)
        for (key, own), (color, marker) in zip(lines.items(), looks, strict=False):
            own = sorted(own, key=lambda row: row["size"])
            name = ", ".join(
                f"{part} threads" if place == 3 else str(part)
                for place, part in enumerate(key)
                if place == 0 or varied[place]
            )
            points = [row["size"] for row in own], [row[f"{action}_ratio"] for row in own]
            panel.plot(*points, marker=marker, color=color, markersize=4, linewidth=1, label=name)
        panel.axhline(1, color="k", linewidth=0.8, linestyle="--")
        panel.set(xscale="log", yscale="log", xlabel="coordinates", title=action)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("speed / speed of a copy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_exchange(rows: Sequence[Row], path: Path) -> None:
    """Writes a PNG: a panel for every model, number of ranks and rate; a bar with its range for every system."""
    groups = list(group(rows, setting).values())
    heights = [0.32 * len(own) + 0.9 for own in groups]
    figure, panels = plt.subplots(
        len(groups), 1, figsize=(10, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for panel, own, table in zip(panels[:, 0], groups, exchange_tables(rows), strict=True):
        places = np.arange(len(own))[::-1]
        start = np.zeros(len(own))
        for phase, color in COLORS.items():
            width = 1e3 * np.array([row[f"{phase}_seconds"] for row in own])
            panel.barh(places, width, 0.7, start, color=color, label=phase)
            start += width
        median = 1e3 * np.array([row["seconds"]["median"] for row in own])
        spread = 1e3 * np.array([[row["seconds"][end] for row in own] for end in ("min", "max")])
        panel.errorbar(median, places, xerr=np.abs(spread - median), fmt="ko", markersize=3, capsize=3, label="total")
        if own[0]["rate"]:
            floors = [1e3 * row["floor_seconds"] for row in own]
            panel.plot(floors, places, "r|", markersize=14, markeredgewidth=2, label="bytes / rate")
        panel.set_yticks(places, [row["system"] for row in own])
        panel.set(title=table.title, xlabel="ms", xlim=(0, None))
        panel.grid(axis="x", alpha=0.3)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_model(machine: Machine, codecs: Mapping[str, CodecSpeed], numel: int, path: Path, per_host: int = 8) -> None:
    """Writes a PNG: seconds of an exchange against ranks up to 1,024, a line for every codec and exchange.

    Codecs of 16 bits and more use the exchanges that add payloads, others the rest. Left: one rank on each host;
    right: ``per_host`` on each.
    """
    figure, panels = plt.subplots(1, 2, figsize=(13, 5.2), sharey=True, layout="constrained")
    for panel, local in zip(panels, (1, per_host), strict=True):
        places = [Ranks(max(1, 2**power // local), local) for power in range(1, 11) if 2**power >= 2 * local]
        for (name, codec), color in zip(
            codecs.items(), itertools.cycle(matplotlib.color_sequences["tab10"]), strict=False
        ):
            for exchange, found in _exchanges(codec, local).items():
                seconds = [
                    found.cost(machine, ranks, numel, codec, best_slices(found, machine, ranks, numel, codec))
                    for ranks in places
                ]
                totals = [ranks.total for ranks in places]
                style = LINES.get(exchange, "-")
                panel.plot(totals, seconds, style, color=color, label=f"{name}, {exchange}", markersize=4)
        panel.set(xscale="log", yscale="log", xlabel="ranks", title=f"{local} on each host")
        panel.set_xscale("log", base=2)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    panels[0].set_ylabel("seconds of an exchange")
    figure.suptitle(f"{numel:,} gradients, by the model")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _exchanges(codec: CodecSpeed, per_host: int) -> dict[str, type[ConcreteExchange]]:
    return {
        name: found
        for name, found in concrete().items()
        if found.reduction == ("average" if codec.bits >= 16 else "gather") and (per_host > 1 or not found.needs_hosts)
    }
