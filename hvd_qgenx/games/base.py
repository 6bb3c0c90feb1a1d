"""The interface of a game."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

Operator = Callable[[Tensor], Tensor]
"""Maps a stacked point (d,) to a dual vector (d,), both float64."""


class Game(ABC):
    """Players who each minimise their own loss, as the operator A of their stacked point.

    The point z holds the coordinates of all players end to end, float64. A(z) stacks the gradient
    of every player's own loss, so a player who maximises enters with the opposite sign. z* solves
    the game if <A(z*), z - z*> >= 0 for every allowed z.
    """

    gap_name: ClassVar[str] = "restricted gap"
    """The name of the quantity that ``gap`` returns."""
    projects_extrapolation: ClassVar[bool] = True
    """Are extrapolated points of two-call methods kept inside the constraint too?"""

    def __init__(self, players: Mapping[str, int], start: Tensor, solution: Tensor | None = None) -> None:
        self.players = dict(players)
        """Number of coordinates of every player, in the order of the stacked point."""
        self.start = start
        self.solution = solution
        """A point that is known to solve the game, or None."""

    @property
    def dimension(self) -> int:
        """Number of coordinates of all players together."""
        return len(self.start)

    @abstractmethod
    def operator(self, point: Tensor) -> Tensor:
        """Returns A(z), a new tensor."""

    @abstractmethod
    def gap(self, point: Tensor) -> float:
        """Returns how far z is from solving the game, in the sense of ``gap_name``; 0 at a solution."""

    def oracle(self, seed: int, rank: int) -> Operator:
        """Returns A as ``rank`` sees it: here A itself. Games that sample return an unbiased estimate."""
        return self.operator

    def project(self, point: Tensor) -> None:  # noqa: B027 (most games are free)
        """Moves z, in place, to the nearest allowed point. Here every point is allowed."""

    def distance(self, point: Tensor) -> float:
        """Returns the Euclidean distance to ``solution``; NaN where none is known."""
        return math.nan if self.solution is None else float(torch.linalg.vector_norm(point - self.solution))
