"""Methods: an estimator of gradients, an averaging, and a step size."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hvd_qgenx.tasks.logistic.averaging import Averaging, Exact
from hvd_qgenx.tasks.logistic.estimators import LSVRG, Estimator, Full, Minibatch, Sampling
from hvd_qgenx.tasks.logistic.feedback import Memory, Shifted
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.rounding import NATURAL_VARIANCE, Adaptive, Heuristic, Natural
from hvd_qgenx.tasks.logistic.top_k import TopK, kept_of
from hvd_qgenx.tasks.logistic.workers import Workers

Averagings = Callable[[Workers, int, int], Averaging]
"""Makes an averaging from the workers, the dimension and the seed."""


@dataclass(frozen=True)
class Method:
    """x_{k+1} = x_k - lr mean_i g_i(x_k): how workers estimate g_i, and how the estimates are averaged."""

    estimator: Callable[[Problem, Sequence[int], Sampling, int], Estimator]
    """Takes the problem, this rank's workers, the sampling and the seed."""
    averaging: Averagings
    lr: Callable[[Problem, Sampling], float]
    """Returns the step size that theory allows."""


def full_step(problem: Problem, _: Sampling) -> float:
    """Returns 1 / L, the step of gradient descent."""
    return 1 / problem.smoothness


def sampled_step(problem: Problem, sampling: Sampling) -> float:
    """Returns 1 / (2 (L + 3 Lb / (2 n) + 3 Lb / (16 n))), IntDIANA's step with L-SVRG under strong convexity.

    Lb is the expected smoothness of a minibatch and n the number of workers (Mishchenko et al., "IntSGD", 2021).
    """
    noise = problem.expected_smoothness(sampling.batch_size) / problem.workers
    return 1 / (2 * (problem.smoothness + 3 / 2 * noise + 3 / 16 * noise))


def natural_step(problem: Problem, _: Sampling) -> float:
    """Returns 1 / (L (1 + 36 (1 + omega) / n)), DIANA's step with L-SVRG and natural compression."""
    return 1 / (problem.smoothness * (1 + 36 * (1 + NATURAL_VARIANCE) / problem.workers))


def top_k_step(problem: Problem, _: Sampling) -> float:
    """Returns 1 / (L + max_i L_i sqrt(1 - a) / (1 - sqrt(1 - a))), EF21's step with top-k, which keeps a part a."""
    left = math.sqrt(1 - kept_of(problem.dimension) / problem.dimension)
    largest = problem.expected_smoothness(problem.samples)  # a batch of everything: max_i L_i
    return 1 / (problem.smoothness + largest * left / (1 - left))


def shifted(averaging: Averagings, rate: float = 1.0) -> Averagings:
    """Makes an averaging of the differences to shifts (DIANA)."""
    return lambda workers, dimension, seed: Shifted(averaging(workers, dimension, seed), rate)


def with_memory(averaging: Averagings) -> Averagings:
    """Makes an averaging of vectors to which the earlier errors of compression are added."""
    return lambda workers, dimension, seed: Memory(averaging(workers, dimension, seed))


GD = Method(Full, Exact, full_step)
SGD = Method(Minibatch, Exact, sampled_step)
L_SVRG = Method(LSVRG, Exact, sampled_step)
INT_GD = Method(Full, Adaptive, sampled_step)
INT_SGD = Method(Minibatch, Adaptive, sampled_step)
INT_DIANA = Method(Full, shifted(Adaptive), sampled_step)
VR_INT_DIANA = Method(LSVRG, shifted(Adaptive), sampled_step)
VR_HINT_DIANA = Method(LSVRG, shifted(Heuristic), sampled_step)
VR_NAT_DIANA = Method(LSVRG, shifted(Natural, 1 / (1 + NATURAL_VARIANCE)), natural_step)
EF21 = Method(Full, shifted(TopK), top_k_step)
EF_TOPK = Method(Full, with_memory(TopK), top_k_step)
