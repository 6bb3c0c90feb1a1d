"""A game: rock, paper, scissors, with a cost for leaving the middle."""

import torch
from torch import Tensor

from hvd_qgenx.games.base import Game
from hvd_qgenx.games.registry import GAMES

WINS = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)


@GAMES.register("rock-paper-scissors")
class RockPaperScissors(Game):
    """Both players choose three numbers; the first pays what the table of wins says.

    The solution is a third of each. --pull is the cost of leaving it.
    """

    gap_name = "norm of the operator"

    def __init__(self, pull: float = 0.1) -> None:
        third = torch.full((6,), 1 / 3, dtype=torch.float64)
        start = torch.eye(2, 3, dtype=torch.float64).flatten()
        super().__init__({"first": 3, "second": 3}, start, solution=third)
        self.pull = pull

    def operator(self, point: Tensor) -> Tensor:
        first, second = point[:3], point[3:]
        return torch.cat([WINS @ second, -WINS.T @ first]) + self.pull * (point - 1 / 3)

    def gap(self, point: Tensor) -> float:
        return float(self.operator(point).norm())
