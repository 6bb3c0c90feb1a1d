"""Extra-gradient: two moves an iteration, both from the same base point.

Usage, with gradients in ``.grad`` as for any torch optimizer::

    compute_gradients()         # at X_t
    optimizer.extrapolation()   # X_{t+1/2} = X_t + update(gradient)
    compute_gradients()         # at X_{t+1/2}
    optimizer.step()            # X_{t+1}   = X_t + update(gradient)

Source: Korpelevich (1976); Gidel et al., "A variational inequality perspective on GANs" (ICLR 2019).
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT


class Extragradient(Optimizer):
    """Base of the extra-gradient optimizers: keeps the base point, leaves the update to subclasses.

    Parameters are moved in place. The base point lives in ``state``, so ``state_dict`` taken
    between the two moves is complete.
    """

    @abstractmethod
    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """The move for this gradient: a new tensor with the shape of ``parameter``.

        May change ``self.state[parameter]``; must not change ``parameter`` or ``gradient``.
        """

    @torch.no_grad()
    def extrapolation(self) -> None:
        """Moves to X_{t+1/2}; the first call since ``step`` keeps X_t as the base point."""
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if "base" not in state:
                    state["base"] = parameter.clone()
                if parameter.grad is not None:
                    parameter.add_(self.update(parameter, parameter.grad, group))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Moves from the base point to X_{t+1}.

        Raises:
            RuntimeError: ``extrapolation`` was not called first.
            ValueError: a closure was given; the two gradients are the caller's to compute.
        """
        if closure is not None:
            raise ValueError("extra-gradient takes no closure; compute the gradients, then call step()")
        for group in self.param_groups:
            for parameter in group["params"]:
                base = self.state[parameter].pop("base", None)
                if base is None:
                    raise RuntimeError("call extrapolation() before step()")
                if parameter.grad is not None:
                    base.add_(self.update(parameter, parameter.grad, group))
                parameter.copy_(base)


class ExtraSGD(Extragradient):
    """Extra-gradient with SGD's update, momentum and Nesterov as in ``torch.optim.SGD``.

    Args:
        params: parameters or parameter groups.
        lr: step size.
        momentum, dampening, weight_decay, nesterov: as in ``torch.optim.SGD``. The momentum
            buffer advances at both moves.

    Raises:
        ValueError: a value outside its limits.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        _check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("nesterov needs a positive momentum and no dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        direction = gradient.add(parameter, alpha=group["weight_decay"])
        if group["momentum"]:
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = direction.clone()
            else:
                state["momentum_buffer"].mul_(group["momentum"]).add_(direction, alpha=1 - group["dampening"])
            buffer: Tensor = state["momentum_buffer"]
            direction = direction.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        return direction.mul(-group["lr"])


class ExtraAdam(Extragradient):
    """Extra-gradient with Adam's update: moments and step count advance at both moves.

    Source: Gidel et al. (ICLR 2019), algorithm 4.

    Args:
        params: parameters or parameter groups.
        lr: step size.
        betas: decay of the first and second moment.
        eps: added to the root of the second moment.
        weight_decay: as in ``torch.optim.Adam`` (added to the gradient).

    Raises:
        ValueError: a value outside its limits.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        _check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {betas}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if "step" not in state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        beta1, beta2 = group["betas"]
        state["step"] += 1
        mean: Tensor = state["exp_avg"].mul_(beta1).add_(gradient, alpha=1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        bias = math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        return mean.div(square.sqrt().add_(group["eps"])).mul_(-group["lr"] * bias)


def _check_not_negative(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, it is {value}")
