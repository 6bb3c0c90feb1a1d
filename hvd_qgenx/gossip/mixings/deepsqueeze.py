"""Error feedback between neighbours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Heard, Mixing


class DeepSqueeze(Mixing):
    """DeepSqueeze: parameters are sent compressed, and what compression takes is added to the next ones.

    v_i = x_i + e_i; c_i = Q(v_i); e_i <- v_i - c_i; x_i += gamma sum_j (w_ij - [i = j]) c_j (Tang et al., "DeepSqueeze:
    decentralization meets error-compensated compression", 2019).
    """

    name = "deepsqueeze"
    periodic = False

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self.vectors["error"] = torch.zeros_like(start)

    def message(self, x: Tensor, rate: float) -> Tensor:
        return x + self.vectors["error"]

    def _hear(self, x: Tensor, answer: Heard) -> None:
        self.vectors["error"].add_(x - answer.own)
        x.add_(answer.mixed - answer.own, alpha=self.rates.consensus)
