"""A problem, its optimum, and everything that runs on it have in common."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hvd_qgenx.tasks.logistic.decentralized import Decentralized, Trial, descend_apart
from hvd_qgenx.tasks.logistic.descent import Record, descend
from hvd_qgenx.tasks.logistic.estimators import Sampling
from hvd_qgenx.tasks.logistic.optimum import Optimum
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.registry import METHODS
from hvd_qgenx.tasks.logistic.schedule import Schedule
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport.cores import one_thread


@dataclass(frozen=True)
class Experiment:
    """Compares methods on one problem; all ranks of the workers' transport hold the same."""

    problem: Problem
    optimum: Optimum
    workers: Workers
    sampling: Sampling
    iterations: int
    lr: float | Sequence[float] | None = None
    """Step sizes of all methods, of which the best counts; None: what theory allows each."""
    decentralized: Mapping[str, Decentralized] = field(default_factory=dict)
    """Methods in which every worker has a point of its own, by name; others are in ``METHODS``."""
    schedule: Schedule = field(default_factory=Schedule)

    def step_size(self, method: str) -> float:
        """Returns the step size of a method, of several the first.

        Those of theory have ten digits: the rest depends on how a machine finds eigenvalues.
        """
        return self.trials(method)[0].lr

    def trials(self, method: str) -> list[Trial]:
        """Returns the step sizes that a method is run with."""
        apart = self.decentralized.get(method)
        if self.lr is None:
            lr = (apart or METHODS[method]).lr(self.problem, self.sampling)
            rates = [float(f"{self.schedule.beginning_with(lr, self.problem.l2):.10g}")]
        else:
            rates = [self.lr] if isinstance(self.lr, float) else list(self.lr)
        return [Trial(lr, consensus) for lr in rates for consensus in (apart.step_sizes if apart else (1.0,))]

    def run(self, method: str, seed: int, trial: Trial | None = None) -> Record:
        """Runs a method with step sizes, by default its first; all ranks must call it alike."""
        trial = trial or self.trials(method)[0]
        common = self.iterations, self.optimum, self.sampling
        with one_thread():
            if method in self.decentralized:
                apart = self.decentralized[method]
                return descend_apart(self.problem, apart, self.workers, *common, trial, seed, self.schedule)
            return descend(self.problem, METHODS[method], self.workers, *common, trial.lr, seed, self.schedule)

    def best(self, method: str, seeds: Sequence[int]) -> list[Record]:
        """Returns a record for every seed, with the best of the method's step sizes; all ranks must call it alike.

        The best has the least gap at the end, as geometric mean over seeds.
        """
        found = [[self.run(method, seed, trial) for seed in seeds] for trial in self.trials(method)]
        return min(found, key=_score)

    def facts(self) -> dict[str, Any]:
        """Returns the constants of the problem and of its optimum, as plain values."""
        problem, optimum = self.problem, self.optimum
        return {
            "data": problem.name,
            "samples": problem.samples,
            "used": int(problem.sizes.sum()),
            "features": problem.dimension,
            "workers": problem.workers,
            "least_share": int(problem.sizes.min()),
            "largest_share": int(problem.sizes.max()),
            "batch_size": self.sampling.batch_size,
            "probability": self.sampling.probability,
            "iterations": self.iterations,
            "l2": problem.l2,
            "smoothness": problem.smoothness,
            "condition": problem.condition,
            "expected_smoothness": problem.expected_smoothness(self.sampling.batch_size),
            "optimal_value": optimum.value,
            "optimal_squared_norm": float(optimum.point @ optimum.point),
            "gradient_norm": optimum.gradient_norm,
            "value_error": optimum.value_error,
            "distance_error": optimum.distance_error,
        }

    def description(self) -> str:
        """Returns the facts in words, in three lines."""
        facts = self.facts()
        least, largest = facts["least_share"], facts["largest_share"]
        share = f"{least}" if least == largest else f"{least} to {largest}"
        return (
            f"{facts['data']}: {facts['used']} of {facts['samples']} samples, {facts['features']} features; "
            f"{facts['workers']} workers with {share} samples each, batch size {facts['batch_size']}, "
            f"p = {facts['probability']:.5g}\n"
            f"l2 = {facts['l2']:g}, L = {facts['smoothness']:.7g}, L/l2 = {facts['condition']:.5g}, "
            f"expected smoothness {facts['expected_smoothness']:.7g}\n"
            f"f* = {facts['optimal_value']:.10g}, |x*|^2 = {facts['optimal_squared_norm']:.4g}; "
            f"|grad| = {facts['gradient_norm']:.2g} at x*, so f* is exact to {facts['value_error']:.2g} "
            f"and x* to {facts['distance_error']:.2g}\n"
        )


def _score(records: Sequence[Record]) -> tuple[float, int]:
    """Returns what is least for the best records: the gap; of records that diverge, minus the iterations before."""
    if ended := [record.diverged_at for record in records if record.diverged_at is not None]:
        return math.inf, -min(ended)
    return sum(math.log(max(record.moments[-1].gap, 2.0**-52)) for record in records) / len(records), 0
