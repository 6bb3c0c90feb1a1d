"""Compressed gossip."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Heard, Mixing, Replicas


class Choco(Mixing):
    """CHOCO-SGD: neighbours keep replicas, to which compressed differences are added.

    q_i = Q(x_i - x-hat_i); x-hat_j += q_j on all that hear from j; x_i += gamma sum_j w_ij (x-hat_j - x-hat_i). If the
    message travels while the next gradient is computed, this is Algorithm 1 of Koloskova, Lin, Stich and Jaggi,
    "Decentralized deep learning with arbitrary communication compression" (ICLR 2020); if it is waited for, CHOCO-SGD
    of Koloskova, Stich and Jaggi, "Decentralized stochastic optimization and gossip algorithms with compressed
    communication" (ICML 2019). On graphs that change, every phase has replicas of its own.
    """

    name = "choco"
    overlaps = True

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self._replicas = Replicas(self.vectors, "replica", self.rows.topology, start, known)

    def message(self, x: Tensor, rate: float) -> Tensor:
        return self._replicas.difference(x, self.phase)

    def _hear(self, x: Tensor, answer: Heard) -> None:
        self._replicas.take(answer, self.phase)
        self._replicas.pull(x, self.phase, self.rates.consensus)
