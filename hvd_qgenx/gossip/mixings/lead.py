"""Compressed primal-dual gossip, which reaches the optimum of data that differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Heard, Mixing, Replicas


class Lead(Mixing):
    """LEAD: a dual vector takes away what a rank's gradient has against the mean.

    With x' the parameters after the local step and lr D the dual: y = x' - lr D; q = Q(y - h); y-hat = h + q;
    h <- h + alpha q; lr D += gamma / 2 (y-hat - sum_j w_ij y-hat_j); x <- x' - lr D (Liu, Li, Wang, Tang and Yan,
    "Linear convergent decentralized optimization with compression", ICLR 2021, Algorithm 1). With full
    gradients it converges linearly whatever the ranks' data; if the step size changes, lr D changes in proportion.
    """

    name = "lead"
    takes = "unbiased"
    fixed = True
    symmetric = True

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self._replicas = Replicas(self.vectors, "replica", self.rows.topology, start, known)
        self.vectors["dual"] = torch.zeros_like(start)
        self.vectors["rate"] = torch.zeros(1, dtype=torch.float64)

    def message(self, x: Tensor, rate: float) -> Tensor:
        dual, before = self.vectors["dual"], self.vectors["rate"]
        if float(before) and rate:
            dual *= rate / float(before)
        before.fill_(rate or float(before))
        return x - dual - self._replicas.of(self.phase)[0]

    def _hear(self, x: Tensor, answer: Heard) -> None:
        dual, (own, mixed) = self.vectors["dual"], self._replicas.of(self.phase)
        dual.add_((own + answer.own) - (mixed + answer.mixed), alpha=self.rates.consensus / 2)
        own.add_(answer.own, alpha=self.rates.memory)
        mixed.add_(answer.mixed, alpha=self.rates.memory)
        x -= dual
