"""Momentum of what ranks do together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class QuasiGlobalMomentum:
    """QG-DSGDm: the momentum follows the parameters' way, mixing included, not the rank's own gradients.

    With d_t = (x_t - x_{t+1}) / lr: m <- mu m + (1 - mu) d_t; the local step takes g + mu m. Nothing more is sent, and
    ranks with different data turn less from each other (Lin, Karimireddy, Stich and Jaggi, "Quasi-global momentum",
    ICML 2021, Algorithm 1).

    Args:
        like: a tensor like the gradients.
        decay: mu.
    """

    def __init__(self, like: Tensor, decay: float) -> None:
        self.decay = decay
        self.vectors = {"momentum": torch.zeros_like(like), "before": torch.zeros_like(like)}
        self.rate = 0.0
        """Step size of the last local step; 0 before the first."""

    def correct(self, gradient: Tensor, x: Tensor, rate: float) -> None:
        """Adds the momentum to a gradient, in place.

        Args:
            gradient: at ``x``.
            x: the parameters before the local step.
            rate: step size of this local step.
        """
        momentum, before = self.vectors["momentum"], self.vectors["before"]
        if self.rate:
            momentum.mul_(self.decay).add_(before - x, alpha=(1 - self.decay) / self.rate)
        gradient.add_(momentum, alpha=self.decay)
        before.copy_(x)
        self.rate = rate

    def state_dict(self) -> dict[str, Any]:
        return {"rate": self.rate, "vectors": {name: vector.clone() for name, vector in self.vectors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rate = state["rate"]
        for name, vector in self.vectors.items():
            vector.copy_(state["vectors"][name])
