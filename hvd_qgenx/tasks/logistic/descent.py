"""One run of a method on a problem."""

from dataclasses import dataclass

import torch

from hvd_qgenx.tasks.logistic.averaging import Averaged, Iteration
from hvd_qgenx.tasks.logistic.estimators import Sampling
from hvd_qgenx.tasks.logistic.methods import Method
from hvd_qgenx.tasks.logistic.optimum import Optimum
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.schedule import Outcome, Schedule
from hvd_qgenx.tasks.logistic.workers import Workers

FAR = 1e12
"""A run whose point has a larger norm, or NaN, has diverged."""
RECORDS = 100
"""Records of a run beside the start."""


@dataclass(frozen=True)
class Moment:
    """The state of a run before iteration k."""

    k: int
    gap: float
    """f(x_k) - f*."""
    squared_distance: float
    """||x_k - x*||^2."""
    passes: float
    """Passes over a worker's samples, mean over workers."""
    megabytes: float
    """MB that one worker has sent."""
    largest_integer: int
    """Largest absolute integer that a worker has sent since the last record."""
    largest_sum: int
    """Largest absolute sum of the workers' integers since the last record."""
    worst_gap: float | None = None
    """Largest f(x_i) - f* of a worker, where each has a point of its own; x is their mean then."""
    consensus: float | None = None
    """Mean over workers of ||x_i - x||^2."""


@dataclass(frozen=True)
class Record:
    """The course of one run."""

    lr: float
    moments: list[Moment]
    """In order of k; the first is the start."""
    diverged_at: int | None = None
    """The iteration that ended the run early."""
    consensus_step_size: float | None = None


@dataclass
class _Sent:
    """Counts of what has been sent: bytes of one worker, and the largest integers since the last record."""

    bytes_sent: int = 0
    largest_integer: int = 0
    largest_sum: int = 0

    def count(self, averaged: Averaged) -> None:
        self.bytes_sent += averaged.bytes_sent
        self.largest_integer = max(self.largest_integer, averaged.largest_integer)
        self.largest_sum = max(self.largest_sum, averaged.largest_sum)


def descend(
    problem: Problem,
    method: Method,
    workers: Workers,
    iterations: int,
    optimum: Optimum,
    sampling: Sampling,
    lr: float,
    seed: int = 0,
    schedule: Schedule | None = None,
) -> Record:
    """Runs a method from 0; all ranks must call it alike, and all return the same.

    Args:
        problem: what to minimize.
        method: how.
        workers: the problem's workers, dealt to ranks.
        iterations: length of the run.
        optimum: the point that distances are measured from.
        sampling: batch size, and probability of a new reference.
        lr: step size.
        seed: decides the samples that are drawn, and the rounding of what is sent.
        schedule: how the step size changes, and which point counts; default: it does not, and the last.
    """
    schedule = schedule or Schedule()
    estimator = method.estimator(problem, workers.own, sampling, seed)
    averaging = method.averaging(workers, problem.dimension, seed)
    point = torch.zeros(problem.dimension, dtype=torch.float64)
    last_step, sent, every = torch.zeros_like(point), _Sent(), max(1, iterations // RECORDS)
    outcome = Outcome(schedule, point)

    def moment(k: int) -> Moment:
        gap, away = problem.value(outcome.value) - optimum.value, outcome.value - optimum.point
        integers = sent.largest_integer, sent.largest_sum
        return Moment(k, gap, float(away @ away), estimator.passes, sent.bytes_sent / 1e6, *integers)

    moments = [moment(0)]
    for k in range(iterations):
        rate = schedule.step_size(lr, k, estimator.passes, problem.l2)
        averaged = averaging.mean(estimator.estimate(point), Iteration(k, rate, last_step))
        sent.count(averaged)
        before, point = point, point.sub(averaged.mean, alpha=rate)
        outcome.add(k + 1, point)
        last_step = point - before
        if not float(torch.linalg.vector_norm(point)) <= FAR:
            return Record(lr, moments, diverged_at=k + 1)
        if (k + 1) % every == 0 or k + 1 == iterations:
            moments.append(moment(k + 1))
            sent = _Sent(sent.bytes_sent)
    return Record(lr, moments)
