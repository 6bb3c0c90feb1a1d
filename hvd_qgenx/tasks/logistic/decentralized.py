"""Decentralized methods: every worker has a point of its own, and hears from its neighbours alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from compressors import Compressor
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.base import Rates
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.points import SimulatedPoints
from hvd_qgenx.gossip.simulated import Simulated
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.tasks.logistic.descent import FAR, RECORDS, Moment, Record
from hvd_qgenx.tasks.logistic.estimators import Estimator, Full, Minibatch, Sampling
from hvd_qgenx.tasks.logistic.optimum import Optimum
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.schedule import Outcome, Schedule
from hvd_qgenx.tasks.logistic.workers import Workers


@dataclass(frozen=True)
class Decentralized:
    """x_i <- mix(x_i - lr g_i(x_i)): how workers mix, what they send, to whom."""

    mixing: str
    """Name of a mixing."""
    compressor: Compressor
    """As the user names it."""
    topology: Topology
    """Of the workers."""
    step_sizes: tuple[float, ...] = (1.0,)
    """Consensus step sizes, of which the best counts."""
    memory: float = 0.5
    """alpha of LEAD, lambda of MoTEF."""
    momentum: float = 0.0
    """Decay of the quasi-global momentum; 0: none."""
    overlap: bool = False
    """Messages are sent while the next gradient is computed, where the mixing allows it."""
    drop: float = 0.0
    """Share of the messages that are lost."""
    full: bool = False
    """Gradients of all samples, rather than of minibatches."""

    def lr(self, problem: Problem, sampling: Sampling) -> float:
        """Returns 1 / max L_i for full gradients, 1 / (2 Lb) for minibatches, where Lb is their expected smoothness."""
        if self.full:
            return 1 / problem.expected_smoothness(problem.samples)
        return 1 / (2 * problem.expected_smoothness(sampling.batch_size))

    def estimator(self, problem: Problem, workers: Sequence[int], sampling: Sampling, seed: int) -> Estimator:
        """Makes the estimator of gradients of some workers."""
        kind: Callable[..., Estimator] = Full if self.full else Minibatch
        return kind(problem, workers, sampling, seed)

    def points(self, workers: Workers, dimension: int, consensus: float, seed: int) -> SimulatedPoints:
        """Makes the points of all workers, (n, d), which are 0; the seed decides compression and lost messages."""
        kind = MIXINGS[self.mixing]
        compressor = fitting(self.compressor, kind).for_rank(0, seed=seed)
        carrier = Simulated(self.topology, compressor, dimension, drop=self.drop, seed=seed)
        start = torch.zeros(workers.count, dimension, dtype=torch.float64)
        return SimulatedPoints(start, kind, carrier, Rates(consensus, self.memory), self.momentum, self.overlap)


class Trial(NamedTuple):
    """Step sizes of one run."""

    lr: float
    consensus: float = 1.0


def descend_apart(
    problem: Problem,
    method: Decentralized,
    workers: Workers,
    iterations: int,
    optimum: Optimum,
    sampling: Sampling,
    trial: Trial,
    seed: int = 0,
    schedule: Schedule | None = None,
) -> Record:
    """Runs a decentralized method from 0; all ranks must call it alike, and all return the same.

    Ranks compute the gradients of their own workers, gather all, and make the same mixing, so the numbers do not depend
    on the number of ranks.

    Args:
        problem: what to minimize.
        method: how.
        workers: the problem's workers, dealt to ranks.
        iterations: length of the run.
        optimum: the point that distances are measured from.
        sampling: batch size.
        trial: step sizes.
        seed: decides the samples that are drawn, the compression, and lost messages.
        schedule: how the step size changes, and which point counts; default: it does not, and the last.
    """
    schedule = schedule or Schedule()
    estimator = method.estimator(problem, workers.own, sampling, seed)
    points = method.points(workers, problem.dimension, trial.consensus, seed)
    outcome, every = Outcome(schedule, points.x), max(1, iterations // RECORDS)
    own = list(workers.own)
    everyone = len(own) == workers.count

    def moment(k: int) -> Moment:
        return _moment(
            k, problem, optimum, outcome.value, estimator.passes, points.carrier.bytes_sent / workers.count / 1e6
        )

    moments = [moment(0)]
    for k in range(iterations):
        rate = schedule.step_size(trial.lr, k, estimator.passes, problem.l2)
        points.step(workers.gather(estimator.estimate(points.x if everyone else points.x[own])), rate)
        outcome.add(k + 1, points.x)
        if not float(torch.linalg.vector_norm(points.x)) <= FAR:
            return Record(trial.lr, moments, k + 1, trial.consensus)
        if (k + 1) % every == 0 or k + 1 == iterations:
            moments.append(moment(k + 1))
    return Record(trial.lr, moments, None, trial.consensus)


def _moment(k: int, problem: Problem, optimum: Optimum, x: Tensor, passes: float, megabytes: float) -> Moment:
    """Returns the record of the workers' points (n, d)."""
    mean = x.mean(0)
    away = mean - optimum.point
    return Moment(
        k,
        problem.value(mean) - optimum.value,
        float(away @ away),
        passes,
        megabytes,
        0,
        0,
        max(problem.value(each) for each in x) - optimum.value,
        float((x - mean).square().sum()) / len(x),
    )
