"""QODA: optimistic dual averaging with the step sizes of Q-GenX's successor.

It is Q-GenX's ``optda`` with other steps. With S_t = sum_{s<=t} sum_k ||V_{k,s+1/2} - V_{k,s-1/2}||^2 / K^2::

    gamma_t = eta_t = (delta + S_{t-1})^(-1/2)

which is Q-GenX's gamma for a delta of K^2 delta. The separated steps, for theory that does not need bounded
operators, have a sum of squared norms instead, S_t = sum_{s<=t} sum_k ||V_{k,s+1/2}||^2 / K^2, and wait for one
iteration more, so that no step depends on the noise that it multiplies::

    gamma_t = (delta + S_{t-2})^(exponent - 1/2)
    eta_t   = (delta + S_{t-2} + sum_{s<=t-2} ||X_s - X_{s+1}||^2)^(-1/2)

Sources: Nguyen et al., "Layer-wise quantization for quantized optimistic dual averaging" (ICML 2025); the separated
steps are those of Hsieh et al., "No-regret learning in games with noisy feedback" (NeurIPS 2022), with K workers.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from hvd_qgenx.optim.qgenx import QGenX, squared_distance


class QODA(QGenX):
    """Quantized optimistic dual averaging: one gradient and one exchange per iteration. Call ``step()`` only.

    Args:
        params: parameters or parameter groups.
        lr: factor of gamma and eta, per group; 1 in the paper.
        delta: gamma and eta start at 1 / sqrt(delta); 1 in the paper.
        exponent: None for one step size, else that of the separated ones, in (0, 1/4].

    Raises:
        ValueError: a value outside its limits.
    """

    def __init__(self, params: ParamsT, lr: float = 1.0, delta: float = 1.0, exponent: float | None = None) -> None:
        if exponent is not None and not 0 < exponent <= 0.25:
            raise ValueError(f"exponent must be in (0, 0.25], it is {exponent}")
        super().__init__(params, "optda", lr, delta)
        self.exponent = exponent
        self._distances = 0.0
        self._last = (0.0, 0.0)

    @property
    def gamma(self) -> float:
        """The step of the extrapolation, before ``lr``; the same on all workers."""
        power = -0.5 if self.exponent is None else self.exponent - 0.5
        return float((self.delta + self._squares / self.workers**2) ** power)

    @property
    def eta(self) -> float:
        """The factor of Y, before ``lr``; the same on all workers."""
        if self.exponent is None:
            return self.gamma
        return 1 / math.sqrt(self.delta + self._squares / self.workers**2 + self._distances)

    def worker_term(self) -> float | None:
        """Returns ||V_{k,t+1/2} - V_{k,t-1/2}||^2, or with separated steps ||V_{k,t+1/2}||^2."""
        if self.exponent is None:
            return super().worker_term()
        return sum(
            squared_distance(self.worker_gradient(parameter), None)
            for group in self.param_groups
            for parameter in group["params"]
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves to X_{t+1} and on to X_{t+3/2}."""
        if self.exponent is None:
            return super().step(closure)
        before = {parameter: lr * self.eta * state["dual"] for parameter, state, lr in self._moving()}
        loss = super().step(closure)
        after = {parameter: lr * self.eta * state["dual"] for parameter, state, lr in self._moving()}
        moved = math.fsum(squared_distance(there, before.get(parameter)) for parameter, there in after.items())
        self._last = (self._last[0], moved)
        return loss

    def _accumulate(self, terms: float) -> None:
        if self.exponent is None:
            super()._accumulate(terms)
            return
        squares, moved = self._last
        self._squares += squares
        self._distances += moved
        self._last = (terms, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "distances": self._distances, "last": list(self._last)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state_dict = dict(state_dict)
        self._distances = state_dict.pop("distances")
        squares, moved = state_dict.pop("last")
        self._last = (squares, moved)
        super().load_state_dict(state_dict)
