"""Gossip without compression."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Heard, Mixing


class Plain(Mixing):
    """D-PSGD: every rank takes the weighted mean of its neighbours' parameters.

    x_i <- sum_j w_ij x_j (Lian et al., "Can decentralized algorithms outperform centralized algorithms?", NeurIPS 2017;
    the mean is taken after the local step).
    """

    name = "dpsgd"
    takes = "nothing"
    periodic = False
    loses_to_own = True
    tuned = False

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        """Remembers nothing."""

    def message(self, x: Tensor, rate: float) -> Tensor:
        return x

    def _hear(self, x: Tensor, answer: Heard) -> None:
        x.sub_(answer.own).add_(answer.mixed)  # what rounding to fp16 takes from it, a rank keeps
