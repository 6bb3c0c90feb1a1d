"""The picture of measured compressors: error against bits."""

import itertools
from pathlib import Path

import matplotlib
import numpy as np

from hvd_qgenx.levels.costs import Costs

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MARKERS = "os^vDP*X<>dph"


def draw(costs: Costs, path: Path) -> None:
    """Writes a PNG: a panel for every source, a line for every compressor at its different bits."""
    sources = list(dict.fromkeys(source for source, _, _ in costs))
    names = list(dict.fromkeys(name for _, name, _ in costs))
    figure, panels = plt.subplots(
        1, len(sources), figsize=(3.2 + 4.2 * len(sources), 4.8), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, source in zip(panels[0], sources, strict=True):
        most = 0.0
        for name, marker, color in zip(
            names, itertools.cycle(MARKERS), itertools.cycle(plt.get_cmap("tab20")(range(20)))
        ):
            points = sorted((m.bits, m.error) for (where, who, _), m in costs.items() if (where, who) == (source, name))
            most = max(most, points[-1][0])
            panel.semilogy(*zip(*points, strict=True), marker=marker, color=color, markersize=5, label=name)
        bits = np.linspace(1, most, 50)
        panel.semilogy(bits, 2 ** (-2 * bits), "k--", label="2^(-2 bits): Gaussian bound")
        panel.set(xlabel="bits of a coordinate", title="/".join(Path(source).parts[-3:]))
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("||Q(x) - x||² / ||x||²")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)
