"""The moves of an iteration, of which some optimizers make two."""

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer


class Moving(Optimizer):
    """Base of optimizers whose loops need not know how many moves there are."""

    moves_per_step: int = 1
    """Moves in an iteration, each with a gradient of its own: 2 with ``extrapolation``, else 1."""

    def moves(self) -> tuple[Callable[[], Any], ...]:
        """Returns the moves of an iteration, each to be called with new gradients.

        Examples:
            >>> import torch
            >>> from hvd_qgenx import ExtraSGD
            >>> x = torch.ones(1, requires_grad=True)
            >>> optimizer = ExtraSGD([x], lr=0.5)
            >>> for move in optimizer.moves():
            ...     optimizer.zero_grad()
            ...     (x**2 / 2).sum().backward()
            ...     move()
            >>> x.item()  # 1 - 0.5 (1 - 0.5)
            0.75
        """
        if self.moves_per_step == 1:
            return (self.step,)
        return self.extrapolation, self.step  # type: ignore[attr-defined]
