"""The optimum of a problem, by Newton's method, with a certificate."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hvd_qgenx.errors import TrainingError
from hvd_qgenx.tasks.logistic.problem import Array, Problem

TOLERANCE = 1e-15
"""Norm of the gradient at which Newton's method stops; rounding may stop it before."""
STEPS = 200
"""Newton steps after which it gives up."""
DECREASE = 1e-4
"""Part of the decrease that a linear model predicts which a step must reach (Armijo)."""
ROUNDING = 1e-15
"""Relative error of a value of f."""


@dataclass(frozen=True)
class Optimum:
    """A point where the gradient is almost 0, and how far it can be from the optimum.

    f is strongly convex with modulus l2, so f(x) - f* <= ||grad f(x)||^2 / (2 l2) and ||x - x*|| <= ||grad f(x)|| / l2.
    """

    point: Tensor
    value: float
    gradient_norm: float
    l2: float

    @property
    def value_error(self) -> float:
        """Bound of f(x) - f*, rounding of f aside."""
        return self.gradient_norm**2 / (2 * self.l2)

    @property
    def distance_error(self) -> float:
        """Bound of the distance to the optimum."""
        return self.gradient_norm / self.l2


def find_optimum(problem: Problem) -> Optimum:
    """Returns the optimum, to rounding error.

    Newton's method from 0; steps are halved until f decreases enough, so it converges from anywhere.

    Raises:
        TrainingError: it does not get there, as with features of very different sizes.
    """
    point = torch.zeros(problem.dimension, dtype=torch.float64)
    value, gradient = problem.value(point), problem.gradient(point)
    for _ in range(STEPS):
        norm = float(torch.linalg.vector_norm(gradient))
        if norm <= TOLERANCE:
            return Optimum(point, value, norm, problem.l2)
        direction = _newton_direction(problem, problem.curvatures(point), gradient, norm)
        step, slope = 1.0, float(direction @ gradient)
        allowed = value + ROUNDING * abs(value)
        while problem.value(point + step * direction) > allowed + DECREASE * step * slope:
            step /= 2
        moved = point + step * direction
        moved_gradient = problem.gradient(moved)
        if -slope < ROUNDING * abs(value) and float(torch.linalg.vector_norm(moved_gradient)) >= norm:
            return Optimum(point, value, norm, problem.l2)
        point, value, gradient = moved, problem.value(moved), moved_gradient
    raise TrainingError(
        f"no optimum of {problem.name} after {STEPS} Newton steps (norm of the gradient {norm:.2g}); use a larger --l2"
    )


def _newton_direction(problem: Problem, curvatures: Array, gradient: Tensor, norm: float) -> Tensor:
    """Solves H p = -g by conjugate gradients, so exactly that Newton's method converges superlinearly."""
    solution, residual = torch.zeros_like(gradient), -gradient
    direction, square = residual.clone(), norm**2
    for _ in range(10 * len(gradient)):
        product = problem.hessian_product(curvatures, direction)
        length = square / float(direction @ product)
        solution.add_(direction, alpha=length)
        residual = residual.sub(product, alpha=length)
        before, square = square, float(residual @ residual)
        if math.sqrt(square) <= min(0.1, math.sqrt(norm)) * norm:
            break
        direction = residual.add(direction, alpha=square / before)
    return solution
