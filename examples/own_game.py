"""A game of your own, played by Q-GenX on three ranks with 4 bits a coordinate.

Rock, paper, scissors, with a little cost for leaving the middle; the solution is a third of each.

Run it with `python examples/own_game.py`.
"""

import torch
from torch import Tensor

import compressors
from hvd_qgenx import DistributedOptimizer, QGenX
from hvd_qgenx.games.base import Game
from hvd_qgenx.transport.inprocess import InProcess, run

WINS = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)


class RockPaperScissors(Game):
    """Both players choose three numbers; the first one pays what ``WINS`` says."""

    gap_name = "norm of the operator"

    def __init__(self) -> None:
        third = torch.full((6,), 1 / 3, dtype=torch.float64)
        super().__init__(
            {"first": 3, "second": 3}, start=torch.eye(2, 3, dtype=torch.float64).flatten(), solution=third
        )

    def operator(self, point: Tensor) -> Tensor:
        first, second = point[:3], point[3:]
        pull = 0.1 * (point - 1 / 3)
        return torch.cat([WINS @ second, -WINS.T @ first]) + pull

    def gap(self, point: Tensor) -> float:
        return float(self.operator(point).norm())


def play(transport: InProcess) -> tuple[float, int]:
    """Returns the distance to the solution, and the bytes that this rank has sent."""
    game = RockPaperScissors()
    point = torch.nn.Parameter(game.start.clone())
    optimizer = DistributedOptimizer(
        QGenX([point], "de"), compression=compressors.make("uniform", bits=4), transport=transport
    )
    for _ in range(300):
        for move in optimizer.moves():
            optimizer.zero_grad()
            point.grad = game.operator(point.detach())
            move()
    return game.distance(point.detach()), optimizer.report.bytes_sent


distance, sent = run(3, play)[0]
print(f"distance to the solution: 1.155 -> {distance:.1e}; {sent} bytes sent by each rank")
