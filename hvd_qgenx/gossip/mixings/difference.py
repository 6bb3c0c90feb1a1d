"""DCD-PSGD and ECD-PSGD: replicas that are the parameters, or follow an extrapolation of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Heard, Mixing, Replicas


class Dcd(Mixing):
    """DCD-PSGD: the parameters are what neighbours know; the compressed difference to the next ones is sent.

    z_i = sum_j w_ij x_j - lr d_i; x_i <- x_i + Q(z_i - x_i) on all that hear from i (Tang, Gan, Zhang, Zhang and Liu,
    "Communication compression for decentralized training", NeurIPS 2018, Algorithm 1). Wants precise, unbiased
    compressors: with 4 bits or 1 % of coordinates it diverges.
    """

    name = "dcd"
    takes = "unbiased"
    fixed = True
    tuned = False

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self._replicas = Replicas(self.vectors, "replica", self.rows.topology, start, known)

    def message(self, x: Tensor, rate: float) -> Tensor:
        own, mixed = self._replicas.of(self.phase)
        return mixed + (x - own) - own  # x - own is the local step

    def _hear(self, x: Tensor, answer: Heard) -> None:
        self._replicas.take(answer, self.phase)
        x.copy_(self._replicas.of(self.phase)[0])


class Ecd(Mixing):
    """ECD-PSGD: extrapolations of the parameters are sent, so that the error of what neighbours know shrinks.

    In step t, from 1: x' = sum_j w_ij y_j - lr d; z = (1 - t/2) x + (t/2) x'; y_j <- (1 - 2/t) y_j + (2/t) Q(z_j);
    x <- x' (Tang et al., NeurIPS 2018, Algorithm 2). Q(z) is sent whole, so its error must not grow with z: of all
    methods this one diverges first.
    """

    name = "ecd"
    takes = "unbiased"
    fixed = True
    tuned = False

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self._replicas = Replicas(self.vectors, "replica", self.rows.topology, start, known)
        self.vectors["before"] = start.clone()

    def before_step(self, x: Tensor) -> None:
        self.vectors["before"].copy_(x)

    def message(self, x: Tensor, rate: float) -> Tensor:
        t, before = self.count + 1, self.vectors["before"]
        _, mixed = self._replicas.of(self.phase)
        x.add_(mixed - before)
        return before + (t / 2) * (x - before)

    def _hear(self, x: Tensor, answer: Heard) -> None:
        t = self.count + 1
        own, mixed = self._replicas.of(self.phase)
        own.mul_(1 - 2 / t).add_(answer.own, alpha=2 / t)
        mixed.mul_(1 - 2 / t).add_(answer.mixed, alpha=2 / t)
