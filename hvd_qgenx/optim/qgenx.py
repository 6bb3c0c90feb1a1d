"""Q-GenX: generalized extra-gradient in dual-averaging form, with an adaptive step.

For K workers, with V_{k,t} and V_{k,t+1/2} the gradients of worker k as all workers decode them::

    X_{t+1/2} = X_t - lr gamma_t mean_k V_{k,t}
    Y_{t+1}   = Y_t - mean_k V_{k,t+1/2}                     (Y_1 = 0)
    X_{t+1}   = X_1 + lr gamma_{t+1} Y_{t+1}
    gamma_t   = K (delta + sum_{i<t} sum_k ||V_{k,i} - V_{k,i+1/2}||^2)^(-1/2)

The variants differ in V_{k,t}; V_{k,t+1/2} is always the gradient at X_{t+1/2}.

Source: Ramezani-Kebrya et al., "Distributed extra-gradient with optimal complexity and
communication guarantees" (ICLR 2023), algorithm 1.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.rules import check_not_negative, evaluate
from hvd_qgenx.optim.workers import WorkerAware

MOVES = {"de": 2, "da": 1, "optda": 1}
"""Number of moves per iteration of every variant, each with one gradient and one exchange."""
BLOCK = 1 << 20
"""Number of elements converted to float64 at a time."""


class QGenX(WorkerAware):
    """Q-GenX in its three variants.

    ``de``, dual extrapolation: V_{k,t} is the gradient at X_t. Call ``extrapolation()``, then
    ``step()``, each with gradients taken where the parameters are.

    ``optda``, optimistic dual averaging: V_{k,t} is the previous V_{k,t-1/2}. Call ``step()`` only:
    it moves to X_{t+1} and on to X_{t+3/2}, where the next gradient is to be taken.

    ``da``, dual averaging: V_{k,t} = 0. Call ``step()`` only. On a merely monotone problem such as
    a bilinear game its average converges, its last iterate does not.

    Parameters move in place; X_1 is where they are at the first move. A missing gradient counts as
    zeros. K is 1, or the number of ranks under a ``DistributedOptimizer``.

    Args:
        params: parameters or parameter groups.
        variant: ``de``, ``da`` or ``optda``.
        lr: factor of gamma, per group; 1 in the paper. If a scheduler changes it, the whole
            displacement from X_1 is rescaled, not only later moves.
        delta: gamma starts at K / sqrt(delta); 1 in the paper. A larger value keeps the first moves
            small where the first gradients are large, as in deep networks.

    Raises:
        ConfigurationError: there is no such variant.
        ValueError: a value outside its limits.

    Examples:
        >>> x, y = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
        >>> optimizer = QGenX([{"params": [x], "player": "x"}, {"params": [y], "player": "y"}])
        >>> for _ in range(100):  # min over x, max over y of x y
        ...     for move in optimizer.moves():
        ...         x.grad, y.grad = y.detach().clone(), -x.detach().clone()
        ...         move()
        >>> bool(x.abs() + y.abs() < 0.01)
        True
    """

    worker_state = frozenset({"previous"})

    def __init__(self, params: ParamsT, variant: str = "de", lr: float = 1.0, delta: float = 1.0) -> None:
        if variant not in MOVES:
            raise ConfigurationError(unknown("variant of Q-GenX", variant, MOVES))
        check_not_negative(lr=lr)
        if not delta > 0:
            raise ValueError(f"delta must be positive, it is {delta}")
        super().__init__(params, {"lr": lr})
        self.variant, self.delta = variant, delta
        self.moves_per_step = MOVES[variant]
        self.calls = 0
        """Number of moves so far, which is the number of gradients of every worker, and of exchanges."""
        self._squares = 0.0

    @property
    def gamma(self) -> float:
        """The adaptive step gamma_t of the current iteration, before ``lr``; the same on all workers."""
        return self.workers / math.sqrt(self.delta + self._squares)

    @property
    def eta(self) -> float:
        """The factor of Y_t, before ``lr``; in Q-GenX it is gamma_t."""
        return self.gamma

    @property
    def iterations(self) -> int:
        """Number of complete iterations so far."""
        return self.calls // self.moves_per_step

    @torch.no_grad()
    def extrapolation(self) -> None:
        """Moves from X_t to X_{t+1/2}; for ``de``.

        Raises:
            RuntimeError: called twice in a row, or for a variant that extrapolates by itself.
        """
        if self.moves_per_step == 1:
            raise RuntimeError(f"Q-GenX {self.variant} takes one gradient per iteration; call step() only")
        if self._extrapolated:
            raise RuntimeError("call step() before the next extrapolation()")
        for parameter, state, lr in self._moving():
            self._extrapolate(parameter, state, lr)
        self.calls += 1

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves to X_{t+1}, and for ``optda`` on to X_{t+3/2}.

        Raises:
            RuntimeError: ``de`` without ``extrapolation`` before.
        """
        loss = evaluate(closure)
        if self.moves_per_step == 2 and not self._extrapolated:
            raise RuntimeError("call extrapolation() before step()")
        self._accumulate(self.sum_over_workers())
        self.calls += 1
        for parameter, state, lr in self._moving():
            state["average"].lerp_(parameter, 1 / self.iterations)
            if parameter.grad is not None:
                state["dual"].sub_(parameter.grad)
            torch.add(state["start"], state["dual"], alpha=lr * self.eta, out=parameter)
            state.pop("previous", None)
            if self.variant == "optda":
                self._extrapolate(parameter, state, lr)
        return loss

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Sets the parameters to the mean of X_{t+1/2} over all complete iterations inside the context.

        Buffers, such as batch norm's running statistics, are not averaged.

        Raises:
            RuntimeError: no iteration is complete.
        """
        if not self.iterations:
            raise RuntimeError("there is no average before the first iteration")
        with torch.no_grad():
            kept = {parameter: parameter.clone() for parameter in self.state}
            for parameter in kept:
                parameter.copy_(self.state[parameter]["average"])
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in kept.items():
                    parameter.copy_(value)

    def worker_term(self) -> float | None:
        """Returns ||V_{k,t} - V_{k,t+1/2}||^2, at ``step`` only."""
        if self.moves_per_step == 2 and not self._extrapolated:
            return None
        return sum(
            squared_distance(self.worker_gradient(parameter), self.state.get(parameter, {}).get("previous"))
            for group in self.param_groups
            for parameter in group["params"]
        )

    def _accumulate(self, terms: float) -> None:
        """Adds the sum of all workers' terms of a complete iteration to the sum in the step size."""
        self._squares += terms

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "squares": self._squares, "calls": self.calls}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state_dict = dict(state_dict)
        self._squares, self.calls = state_dict.pop("squares"), state_dict.pop("calls")
        super().load_state_dict(state_dict)

    @property
    def _extrapolated(self) -> bool:
        return self.calls % self.moves_per_step == 1

    def _moving(self) -> Iterator[tuple[Tensor, dict[str, Any], float]]:
        """Yields the parameters that have or had a gradient, with their state and the factor of their step size."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None or parameter in self.state:
                    state = self.state[parameter]
                    if not state:
                        state["start"], state["average"] = parameter.clone(), parameter.clone()
                        state["dual"] = torch.zeros_like(parameter)
                    yield parameter, state, group["lr"]

    def _extrapolate(self, parameter: Tensor, state: dict[str, Any], lr: float) -> None:
        own = self.worker_gradient(parameter)
        if own is not None:
            state["previous"] = own.clone()
        if parameter.grad is not None:
            parameter.sub_(parameter.grad, alpha=lr * self.gamma)


def squared_distance(one: Tensor | None, other: Tensor | None) -> float:
    """Returns ||one - other||^2 in float64; None stands for zeros.

    On a CPU the result is the same bits for any number of threads: numpy adds on one, in a fixed order.
    """
    blocks = [vector.reshape(-1).split(BLOCK) for vector in (one, other) if vector is not None]
    return math.fsum(_squared_difference(*parts) for parts in zip(*blocks, strict=True))


def _squared_difference(one: Tensor, *other: Tensor) -> float:
    difference = one.to(torch.float64, copy=True)
    for vector in other:
        difference.sub_(vector)
    squares = difference.square_()
    return float(squares.sum()) if squares.is_cuda else float(np.add.reduce(squares.numpy()))
