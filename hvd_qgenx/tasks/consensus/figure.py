"""The picture of a comparison: errors against rounds and against bits."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from hvd_qgenx.runs import plots
from hvd_qgenx.tasks.consensus.cases import Names, Outcome
from hvd_qgenx.tasks.consensus.results import Results

WIDTH = 10.0
"""Inches."""
FLOOR = 1e-32
"""Errors below this share of the start are drawn there."""
STYLES = ("-", "--", ":", "-.")
COLORS = 10


def draw(results: Results, path: Path) -> None:
    """Writes a PNG with two panels; lines are of the first seed."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 4.7), layout="constrained", sharey=True)
    names = [outcome.case.names for outcome in results.outcomes]
    varied = [name for name in Names._fields if len({getattr(each, name) for each in names}) > 1]
    for number, outcome in enumerate(results.outcomes):
        moments = outcome.records[0].moments
        errors = np.maximum([moment.relative for moment in moments], FLOOR)
        style = {"color": f"C{number % COLORS}", "linestyle": STYLES[number // COLORS % len(STYLES)]}
        for panel, against in zip(panels, ("round", "bits"), strict=True):
            panel.plot([getattr(moment, against) for moment in moments], errors, label=_label(outcome, varied), **style)
    for panel, label in zip(panels, ("round", "bits sent by a rank"), strict=True):
        panel.set(xlabel=label, yscale="log")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("mean over ranks of |x_i - mean|², over its start")
    panels[1].set_xscale("log")
    plots.heighten(figure, plots.draw_legend(figure, plots.entries(panels[:1]), WIDTH))
    plots.save(figure, path)


def _label(outcome: Outcome, varied: list[str]) -> str:
    words = [str(getattr(outcome.case.names, name)) for name in varied]
    return ", ".join([*words, f"step {outcome.step_size:.3g}"])
