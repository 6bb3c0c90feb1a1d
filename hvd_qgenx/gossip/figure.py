"""The picture of topologies: who sends to whom in each round, and the decay of the distance to consensus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from hvd_qgenx.gossip.comparison import Row
from hvd_qgenx.gossip.topology import Matrix

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MOST_ROUNDS = 12
"""Rounds of a period that are drawn."""
ROUNDS_WITHOUT_PERIOD = 3
COLUMNS = 6
"""Most graphs side by side."""
LABELLED = 16
"""Ranks up to which they are drawn with their numbers."""
FLOOR = 1e-14
"""Squared distances below this are rounding."""


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes a PNG: the graphs of all topologies, one for each of their rounds, and all distances in one panel."""
    graphs = [(row, step) for row in rows for step in _shown(row)]
    columns = min(len(graphs), COLUMNS)
    lines = -(-len(graphs) // columns)
    figure = plt.figure(figsize=(2.4 * columns + 6, max(2.6 * lines, 4.8)), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(2.4 * columns, 6))
    for place, (row, step) in enumerate(graphs, 1):
        panel = halves[0].add_subplot(lines, columns, place)
        _graph(panel, row.topology.matrix(step))
        panel.set_title(_title(row, step), fontsize=8)
    _decay(halves[1].subplots(), rows)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _shown(row: Row) -> range:
    """Returns the steps that are drawn."""
    period = row.topology.period
    return range(ROUNDS_WITHOUT_PERIOD if period is None else min(period, MOST_ROUNDS))


def _title(row: Row, step: int) -> str:
    period = row.topology.period
    if period == 1:
        return row.label
    return f"{row.label}\nround {step + 1}{'' if period is None else f' of {period}'}"


def _graph(axes: Axes, matrix: Matrix) -> None:
    """Draws who sends to whom, without what ranks keep; arrows where they do not answer."""
    import networkx as nx  # type: ignore[import-untyped]

    sends = (matrix > 0).T & ~np.eye(len(matrix), dtype=np.bool_)
    directed = bool((sends != sends.T).any())
    graph = nx.from_numpy_array(sends, create_using=nx.DiGraph if directed else nx.Graph)
    places = nx.circular_layout(graph)
    size = min(13, 217 / len(matrix)) ** 2  # half the way to the next
    arrows: dict[str, Any] = {"arrowsize": 7, "node_size": size} if directed else {}
    nx.draw_networkx_edges(graph, places, ax=axes, edge_color="tab:blue", width=0.8, alpha=0.7, **arrows)
    nx.draw_networkx_nodes(graph, places, ax=axes, node_color="0.85", edgecolors="0.4", node_size=size)
    if len(matrix) <= LABELLED:
        nx.draw_networkx_labels(graph, places, ax=axes, font_size=7)
    axes.set_axis_off()
    axes.set(aspect="equal", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25))


def _decay(axes: Axes, rows: Sequence[Row]) -> None:
    for number, row in enumerate(rows):
        style = ("-", "--", ":", "-.")[number // 10 % 4]
        axes.plot(np.maximum(row.errors, FLOOR**2), style, label=row.label)
    lowest = min(float(row.errors.min()) for row in rows)
    axes.set(yscale="log", ylim=(max(FLOOR, lowest / 2), 2), xlim=(0, len(rows[0].errors) - 1))
    axes.set(xlabel="rounds", title="squared distance to consensus, over its start", box_aspect=0.9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
