"""Decentralized methods: every worker has a point of its own, and hears from its neighbours alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from compressors import Compressor
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.base import Mixing, Rates
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.momentum import QuasiGlobalMomentum
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


class Trial(NamedTuple):
    """Step sizes of one run."""

    lr: float
    consensus: float = 1.0


class _Points:
    """The points of all workers, their mixing and their messages.

    Args:
        method: how they mix.
        workers: their number is that of the topology's ranks.
        dimension: length of a point, d.
        consensus: consensus step size.
        seed: decides random numbers of compression, and lost messages.
    """

    def __init__(self, method: Decentralized, workers: Workers, dimension: int, consensus: float, seed: int) -> None:
        self._kind: type[Mixing] = MIXINGS[method.mixing]
        compressor = fitting(method.compressor, self._kind).for_rank(0, seed=seed)
        self._carrier = Simulated(method.topology, compressor, dimension, drop=method.drop, seed=seed)
        self.x = torch.zeros(workers.count, dimension, dtype=torch.float64)
        """(n, d)"""
        self._mixing = self._kind(self._carrier.rows, self.x, None, Rates(consensus, method.memory))
        self._momentum = QuasiGlobalMomentum(self.x, method.momentum) if method.momentum else None
        self._overlap = method.overlap and self._kind.overlaps
        self._pending: Any = None

    @property
    def bytes_sent(self) -> float:
        """Bytes that a worker has sent; mean over workers."""
        return self._carrier.bytes_sent / len(self.x)

    def step(self, gradients: Tensor, rate: float) -> None:
        """Takes a step by the gradients (n, d), which may change."""
        step, mixing, kind = self._mixing.count, self._mixing, self._kind
        if mixing.tracks:
            self._carrier.run(mixing.correct(gradients), step, kind)
        if self._momentum:
            self._momentum.correct(gradients, self.x, rate)
        mixing.before_step(self.x)
        self.x.sub_(gradients, alpha=rate)
        self._hear()
        self._pending = self._carrier.exchange(mixing.message(self.x, rate), mixing.count, kind)
        if not self._overlap:
            self._hear()

    def _hear(self) -> None:
        """Mixes with the answers to messages under way."""
        if self._pending is not None:
            self._mixing.hear(self.x, self._pending)
            self._pending = None


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
    points = _Points(method, workers, problem.dimension, trial.consensus, seed)
    outcome, every = Outcome(schedule, points.x), max(1, iterations // RECORDS)
    own = list(workers.own)
    everyone = len(own) == workers.count

    def moment(k: int) -> Moment:
        return _moment(k, problem, optimum, outcome.value, estimator.passes, points.bytes_sent / 1e6)

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
