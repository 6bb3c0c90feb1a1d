"""Matrix games: both players mix their actions."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hvd_qgenx.arrays import read_npy
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.base import Game


class MatrixGame(Game):
    """min over x, max over y of x^T P y, x and y probability vectors.

    A(z) = (P y, -P^T x). Starts where both play their first action for certain. After every move
    each player's vector is projected onto the simplex.

    Args:
        payoff: P, of shape (actions of x, actions of y).
        solution: a pair of optimal strategies end to end, if known.
    """

    gap_name: ClassVar[str] = "duality gap"

    def __init__(self, payoff: Tensor, solution: Tensor | None = None) -> None:
        rows, columns = payoff.shape
        start = torch.zeros(rows + columns, dtype=torch.float64)
        start[0] = start[rows] = 1
        super().__init__({"x": rows, "y": columns}, start, solution)
        self.payoff = payoff

    def operator(self, point: Tensor) -> Tensor:
        x, y = self._split(point)
        return torch.cat([self.payoff @ y, -(x @ self.payoff)])

    def gap(self, point: Tensor) -> float:
        """Returns the max over y' of x^T P y' minus the min over x' of x'^T P y."""
        x, y = self._split(point)
        return float((x @ self.payoff).max() - (self.payoff @ y).min())

    def project(self, point: Tensor) -> None:
        for strategy in self._split(point):
            strategy.copy_(on_simplex(strategy))

    def _split(self, point: Tensor) -> tuple[Tensor, Tensor]:
        rows = len(self.payoff)
        return point[:rows], point[rows:]


def rock_paper_scissors(actions: int = 3) -> MatrixGame:
    """Makes the game where an action loses against the (n - 1) / 2 that follow it in a circle, and beats the others.

    Only equal weights solve it.

    Raises:
        ConfigurationError: the number of actions is even, or below 3.
    """
    if actions < 3 or actions % 2 == 0:
        raise ConfigurationError(f"rock-paper-scissors needs an odd number of actions, at least 3, not {actions}")
    ahead = (torch.arange(actions) - torch.arange(actions)[:, None]) % actions
    payoff = torch.where(ahead == 0, 0.0, torch.where(ahead <= actions // 2, 1.0, -1.0)).double()
    return MatrixGame(payoff, torch.full((2 * actions,), 1 / actions, dtype=torch.float64))


def on_simplex(vector: Tensor) -> Tensor:
    """Returns the Euclidean projection of a vector (n,) onto the probability simplex.

    max(v - t, 0) with the t that makes it sum to 1. Source: Held, Wolfe and Crowder, "Validation of
    subgradient optimization" (1974).
    """
    falling = vector.sort(descending=True).values
    counts = torch.arange(1, len(vector) + 1, dtype=vector.dtype)
    thresholds = (falling.cumsum(0) - 1) / counts
    return (vector - thresholds[falling > thresholds][-1]).clamp_(min=0)


def read_matrix(path: Path) -> Tensor:
    """Reads a matrix of finite numbers, whose squares are finite too, from a .npy file, float64.

    Raises:
        ConfigurationError: it cannot be read, or it holds something else.
    """
    try:
        array = np.asarray(read_npy(path), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read as a .npy matrix of numbers: {error}") from error
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ConfigurationError(f"{path} must hold a matrix of finite numbers, not an array of shape {array.shape}")
    with np.errstate(over="ignore"):
        if not np.isfinite(np.square(array).sum()):
            raise ConfigurationError(f"{path} holds numbers whose squares are too large for a float")
    return torch.from_numpy(array)
