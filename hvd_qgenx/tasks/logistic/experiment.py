"""A problem, its optimum, and everything that runs on it have in common."""

from dataclasses import dataclass
from typing import Any

from hvd_qgenx.tasks.logistic.descent import Record, descend
from hvd_qgenx.tasks.logistic.estimators import Sampling
from hvd_qgenx.tasks.logistic.optimum import Optimum
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.registry import METHODS
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
    lr: float | None = None
    """Step size of all methods; None: what theory allows each."""

    def step_size(self, method: str) -> float:
        """Returns the step size of a method.

        Those of theory have ten digits: the rest depends on how a machine finds eigenvalues.
        """
        return self.lr or float(f"{METHODS[method].lr(self.problem, self.sampling):.10g}")

    def run(self, method: str, seed: int) -> Record:
        """Runs a method; all ranks must call it alike."""
        with one_thread():
            return descend(
                self.problem,
                METHODS[method],
                self.workers,
                self.iterations,
                self.optimum,
                self.sampling,
                self.step_size(method),
                seed,
            )

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
