"""The picture of a bilinear game: trajectories over the operator, and distance to the solution."""

import itertools
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from hvd_qgenx.games.bilinear import Trajectory

matplotlib.use("Agg")
from matplotlib import pyplot as plt

MARKERS = "oD^svPX*"


def draw(trajectories: dict[tuple[str, str], Trajectory], dimension: int, path: Path) -> None:
    """Writes a PNG; trajectories are shown in the first coordinate of each player."""
    figure, (plane, decay) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    _draw_operator(plane, trajectories, dimension)
    for (names, trajectory), marker in zip(trajectories.items(), itertools.cycle(MARKERS), strict=False):
        theta, phi = trajectory.points[:, 0], trajectory.points[:, dimension]
        every = max(1, len(theta) // 10)
        style = {"marker": marker, "markersize": 4, "linewidth": 1.2, "markevery": every}
        plane.plot(theta, phi, **style)
        decay.semilogy(trajectory.distances, label=", ".join(names), **style)
    plane.plot(0, 0, "k+", markersize=12, markeredgewidth=2)
    plane.set(xlabel=r"$\theta$", ylabel=r"$\varphi$", title="trajectory")
    decay.set(xlabel="iteration", ylabel="distance to the solution", title="distance")
    decay.grid(alpha=0.3)
    decay.legend(fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_operator(plane: Axes, trajectories: dict[tuple[str, str], Trajectory], dimension: int) -> None:
    """Arrows of the descent-ascent direction (-phi, theta)."""
    points = np.concatenate([t.points[:, [0, dimension]].numpy() for t in trajectories.values()])
    low, high = np.minimum(points.min(0), -1.2), np.maximum(points.max(0), 1.2)
    theta, phi = np.meshgrid(np.linspace(low[0], high[0], 14), np.linspace(low[1], high[1], 14))
    plane.quiver(theta, phi, -phi, theta, color="0.8", width=0.003)
