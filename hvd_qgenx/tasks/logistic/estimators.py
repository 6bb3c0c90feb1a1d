"""Gradients as workers estimate them."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.games.draws import BLOCK, Draws
from hvd_qgenx.tasks.logistic.problem import Batch, Problem, Rows


@dataclass(frozen=True)
class Sampling:
    """How workers sample."""

    batch_size: int
    """Samples that each worker draws in an iteration, with replacement."""
    probability: float
    """Probability with which all workers of L-SVRG renew their reference in an iteration."""

    @classmethod
    def usual(cls, samples: int, workers: int, batch_size: int | None = None) -> "Sampling":
        """Returns a batch size, by default a twentieth of a worker's share, and one new reference a pass on average."""
        batch_size = batch_size or max(1, samples // (20 * workers))
        return cls(batch_size, min(1.0, batch_size * workers / samples))


class Estimator(ABC):
    """Estimates the gradients of this rank's workers, call by call.

    Random numbers are functions of the seed, the worker and the number of the call.
    """

    def __init__(self, problem: Problem, workers: Sequence[int], sampling: Sampling, seed: int) -> None:
        """
        Args:
            problem: whose gradients.
            workers: those of this rank.
            sampling: batch size, and probability of a new reference.
            seed: decides what is drawn.
        """
        self.problem, self.workers, self.sampling, self.seed = problem, workers, sampling, seed
        self.passes = 0.0
        """Gradients of single samples computed so far, in shares of a worker; mean over all workers."""

    @abstractmethod
    def estimate(self, point: Tensor) -> Tensor:
        """Returns the estimates, (len(workers), d), at a point, (d,), or at one of each worker, (len(workers), d)."""


class Full(Estimator):
    """The gradient of all of a worker's samples."""

    def estimate(self, point: Tensor) -> Tensor:
        self.passes += 1
        return self.problem.gradients(self.problem.all_of(self.workers), point)


class Minibatch(Estimator):
    """The mean gradient of samples that each worker draws."""

    def __init__(self, problem: Problem, workers: Sequence[int], sampling: Sampling, seed: int) -> None:
        super().__init__(problem, workers, sampling, seed)
        size = sampling.batch_size
        self._drawn = self._all_draws()
        self._bounds = np.arange(len(workers) + 1) * size
        self._pass_of_draw = float((size / problem.sizes).mean())

    def draw(self) -> Batch:
        """Returns the samples of the next call."""
        return Batch(next(self._drawn), self._bounds)

    def _all_draws(self) -> Iterator[Rows]:
        """Yields the rows of every call's samples; those of many calls are drawn at once."""
        size, starts = self.sampling.batch_size, self.problem.starts
        calls, shape = max(1, BLOCK // size), (max(1, BLOCK // size), size)
        for block in itertools.count():
            drawn = np.empty((calls, len(self.workers), size), np.int64)
            for place, worker in enumerate(self.workers):
                random = generator(self.seed, RandomStream.MINIBATCH, worker, block)
                own = torch.randint(int(self.problem.sizes[worker]), shape, generator=random)
                np.add(own.numpy(), starts[worker], out=drawn[:, place])
            yield from drawn.reshape(calls, -1)

    def estimate(self, point: Tensor) -> Tensor:
        self.passes += self._pass_of_draw
        return self.problem.gradients(self.draw(), point)


class LSVRG(Minibatch):
    """Loopless SVRG: the minibatch's difference to a reference, whose full gradient is known.

    g_i(x) = grad_B f_i(x) - grad_B f_i(w) + grad f_i(w). The reference w is the first point; after every call, with
    a small probability, by one coin that all workers share, it becomes that call's point (Kovalev, Horvath and
    Richtarik, ALT 2020). All workers must be at one point.
    """

    def __init__(self, problem: Problem, workers: Sequence[int], sampling: Sampling, seed: int) -> None:
        super().__init__(problem, workers, sampling, seed)
        self._coins = Draws(
            lambda rows, random: torch.rand(rows, 1, generator=random, dtype=torch.float64), 1, seed, RandomStream.COIN
        )
        self._all = problem.all_of(workers)
        self._slopes = np.zeros(len(problem.labels))
        """Slopes of the losses at the reference, by row."""
        self._at_reference: Tensor | None = None
        """Gradients at the reference, without the regularizer's."""

    def estimate(self, point: Tensor) -> Tensor:
        if self._at_reference is None:
            self._at_reference = self._refer(point)
        batch = self.draw()
        self.passes += 2 * self._pass_of_draw
        differences = self.problem.slopes(batch.rows, point) - self._slopes[batch.rows]
        estimates = self.problem.combine(batch, differences).add_(self._at_reference)
        if float(self._coins.next()) < self.sampling.probability:
            self._at_reference = self._refer(point)
        return estimates.add_(point, alpha=self.problem.l2)

    def _refer(self, point: Tensor) -> Tensor:
        """Makes a point the reference; returns the gradients there, without the regularizer's."""
        self.passes += 1
        self._slopes[self._all.rows] = self.problem.slopes(self._all.rows, point)
        return self.problem.combine(self._all, self._slopes[self._all.rows])
