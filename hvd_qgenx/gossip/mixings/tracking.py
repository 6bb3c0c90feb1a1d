"""Compressed gossip of parameters and of gradients: two messages a step, at the optimum of data that differ."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Heard, Mixing, Replicas


class Beer(Mixing):
    """BEER: the local step takes an estimate of the mean gradient, which ranks track by compressed gossip.

    v += gamma (sum_j w_ij g-hat_j - g-hat_i) + grad(x now) - grad(x before); g-hat += Q(v - g-hat);
    x += gamma (sum_j w_ij h_j - h_i) - lr v; h += Q(x - h) (Zhao, Li, Li, Richtarik and Chi, "BEER: fast O(1/T) rate
    for decentralized nonconvex optimization with communication compression", NeurIPS 2022, Algorithm 1).
    """

    name = "beer"
    overlaps = True
    tracks = True

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self._replicas = Replicas(self.vectors, "replica", self.rows.topology, start, known)
        self._tracked = Replicas(self.vectors, "tracked", self.rows.topology, start, None)
        self.vectors |= {name: torch.zeros_like(start) for name in ("tracker", "gradient")}

    def _new(self, gradient: Tensor) -> Tensor:
        """Returns what is tracked, by the gradient of this step."""
        return gradient

    def gradient_message(self, gradient: Tensor) -> Tensor:
        tracker, last = self.vectors["tracker"], self.vectors["gradient"]
        self._tracked.pull(tracker, self.phase, self.rates.consensus)
        new = self._new(gradient)
        tracker.add_(new - last)
        last.copy_(new)
        return self._tracked.difference(tracker, self.phase)

    def hear_gradients(self, gradient: Tensor, heard: Heard) -> None:
        self._tracked.take(heard, self.phase)
        gradient.copy_(self.vectors["tracker"])

    def message(self, x: Tensor, rate: float) -> Tensor:
        self._replicas.pull(x, self.phase, self.rates.consensus)
        return self._replicas.difference(x, self.phase)

    def _hear(self, x: Tensor, answer: Heard) -> None:
        self._replicas.take(answer, self.phase)


class Motef(Beer):
    """MoTEF: BEER on an average of gradients, m <- (1 - lambda) m + lambda grad, so that small batches do.

    Source: Islamov, Gao and Stich, "Near optimal decentralized optimization with compression and momentum tracking"
    (MoTEF, 2024). The first gradient begins the average.
    """

    name = "motef"

    def _new(self, gradient: Tensor) -> Tensor:
        weight = self.rates.memory if self.count else 1.0
        return self.vectors["gradient"].lerp(gradient, weight)
