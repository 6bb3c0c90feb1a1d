"""Step sizes of iterations, and averages of iterates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.logistic.registry import AVERAGES, LAWS


@dataclass(frozen=True)
class Schedule:
    """How the step size changes, and which point counts as the outcome.

    Source of the laws and averages: Koloskova, Stich and Jaggi (ICML 2019), section 5.

    Raises:
        ConfigurationError: there is no such law or average.
    """

    law: str = LAWS[0]
    """One of ``LAWS``."""
    average: str = AVERAGES[0]
    """One of ``AVERAGES``: the iterates' weights."""
    tau: float = 1.0
    """Shift of ``decay``, and of the averages' weights."""
    factor: float = 0.9
    """c of ``epoch-decay``."""

    def __post_init__(self) -> None:
        for kind, name, names in (("law of step sizes", self.law, LAWS), ("average", self.average, AVERAGES)):
            if name not in names:
                raise ConfigurationError(unknown(kind, name, names))

    def step_size(self, lr: float, k: int, passes: float, l2: float) -> float:
        """Returns the step size of iteration k.

        Args:
            lr: the number that the law begins with.
            k: from 0.
            passes: passes over a worker's samples so far; whole ones are epochs.
            l2: weight of the regularizer.
        """
        match self.law:
            case "decay":
                return lr / (l2 * (k + self.tau))
            case "bottou":
                return lr / (1 + lr * l2 * k)
            case "epoch-decay":
                return lr * self.factor ** int(passes)
            case _:
                return lr

    def beginning_with(self, step_size: float, l2: float) -> float:
        """Returns the number with which the law's first step size is this."""
        return step_size * l2 * self.tau if self.law == "decay" else step_size

    def weight(self, t: int) -> float:
        """Returns the weight of iterate t, from 1, in the average."""
        match self.average:
            case "mean":
                return 1.0
            case "t+tau":
                return t + self.tau
            case _:
                return (t + self.tau) ** 2


class Outcome:
    """The point, or one of every worker, that counts: the last iterate or an average.

    Args:
        schedule: which.
        start: the first iterate, which counts until there is another.
    """

    def __init__(self, schedule: Schedule, start: Tensor) -> None:
        self._schedule, self._total = schedule, 0.0
        self.value = start

    def add(self, t: int, iterate: Tensor) -> None:
        """Takes in iterate t, from 1; it may change in place afterwards, if an average is taken."""
        if self._schedule.average == "final":
            self.value = iterate
            return
        weight = self._schedule.weight(t)
        if not self._total:
            self.value = torch.zeros_like(iterate)
        self._total += weight
        self.value.lerp_(iterate, weight / self._total)
