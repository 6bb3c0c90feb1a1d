"""Update rules: how SGD and Adam turn a gradient into a move.

A rule computes a move; the other classes derived from ``Rule`` (``Extragradient``, ``PastExtragradient``,
``Optimistic``) decide from which point it is made. An optimizer derives from one of each.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from hvd_qgenx.optim.eager import eager
from hvd_qgenx.optim.moves import Moving

Values: TypeAlias = dict[str, Any]
"""Tensors and numbers by their names in an optimizer's state."""

PART = 1 << 17
"""Coordinates that are moved at a time: all that the operations of a move read and write of them stays in the cache."""

AFTER, BEFORE = PLACES = ("after", "before")
"""Places of Adam's epsilon: it is added to the corrected root of the second moment, or to the root before."""


@eager
class Rule(Moving):
    """Base of the optimizers built on an update rule. Parameters are moved in place."""

    @abstractmethod
    def prepare(self, parameter: Tensor, group: dict[str, Any]) -> Values:
        """Returns what the next ``update`` needs of ``self.state[parameter]``, and advances its counters.

        Tensors have the shape of ``parameter``. Others are equal for all of its coordinates.
        """

    @abstractmethod
    def update(self, parameter: Tensor, gradient: Tensor, values: Values, group: dict[str, Any]) -> Tensor:
        """Returns the move for this gradient, a new tensor; for the whole parameter, or for some of its coordinates.

        May change tensors of ``values``, which ``prepare`` has returned; must not change ``parameter`` or ``gradient``.
        """


class SGDRule(Rule):
    """SGD's update, momentum and Nesterov as in ``torch.optim.SGD``.

    Args:
        params: parameters or parameter groups.
        lr: step size.
        momentum, dampening, weight_decay, nesterov: as in ``torch.optim.SGD``. The momentum
            buffer advances at every update.

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
        check_not_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
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

    def prepare(self, parameter: Tensor, group: dict[str, Any]) -> Values:
        if not group["momentum"]:
            return {}
        state = self.state[parameter]
        first = "momentum_buffer" not in state
        if first:
            state["momentum_buffer"] = torch.empty_like(parameter)
        return {"momentum_buffer": state["momentum_buffer"], "first": first}

    def update(self, parameter: Tensor, gradient: Tensor, values: Values, group: dict[str, Any]) -> Tensor:
        direction = _decayed(parameter, gradient, group)
        if group["momentum"]:
            buffer: Tensor = values["momentum_buffer"]
            if values["first"]:
                buffer.copy_(direction)
            else:
                buffer.mul_(group["momentum"]).add_(direction, alpha=1 - group["dampening"])
            direction = direction.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        return direction.mul(-group["lr"])


class AdamRule(Rule):
    """Adam's update: moments and step count advance at every update.

    Args:
        params: parameters or parameter groups.
        lr: step size.
        betas: decay of the first and second moment.
        eps: added to the root of the second moment.
        epsilon_place: ``after`` the root's bias correction, as in ``torch.optim.Adam``, or ``before`` it, as in the
            code of Gidel et al. (ICLR 2019): then the first steps are shorter where gradients are as small as ``eps``.
        weight_decay: as in ``torch.optim.Adam`` (added to the gradient).
        amsgrad: divide by the root of the largest second moment so far (Reddi et al., "On the
            convergence of Adam and beyond", ICLR 2018), before its bias correction, as in
            ``torch.optim.Adam``.

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
        amsgrad: bool = False,
        epsilon_place: str = AFTER,
    ) -> None:
        check_not_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        if epsilon_place not in PLACES:
            raise ValueError(f"epsilon_place must be {' or '.join(PLACES)}, not {epsilon_place!r}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {betas}")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {**defaults, "epsilon_place": epsilon_place})

    def prepare(self, parameter: Tensor, group: dict[str, Any]) -> Values:
        state = self.state[parameter]
        if "step" not in state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        return {name: state[name] for name in ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq") if name in state}

    def update(self, parameter: Tensor, gradient: Tensor, values: Values, group: dict[str, Any]) -> Tensor:
        gradient = _decayed(parameter, gradient, group)
        beta1, beta2 = group["betas"]
        mean: Tensor = values["exp_avg"].mul_(beta1).add_(gradient, alpha=1 - beta1)
        square: Tensor = values["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if group["amsgrad"]:
            square = torch.maximum(values["max_exp_avg_sq"], square, out=values["max_exp_avg_sq"])
        correction = math.sqrt(1 - beta2 ** values["step"])
        size = -group["lr"] / (1 - beta1 ** values["step"])
        if group.get("epsilon_place", BEFORE) == BEFORE:  # also that of checkpoints which do not say
            return mean.div(square.sqrt().add_(group["eps"])).mul_(size * correction)
        return mean.div(square.sqrt().div_(correction).add_(group["eps"])).mul_(size)


def in_parts(parameter: Tensor, gradient: Tensor, *values: Values) -> Iterator[tuple[Any, ...]]:
    """Yields the arguments part by part, views that lie in memory end to end; as they are where parts do not pay.

    The operations of a move go over memory one after the other, which is what takes the time for a large parameter.
    """
    tensors = [each for part in values for each in part.values() if isinstance(each, Tensor)]
    tensors += parameter, gradient
    dense = all(each.layout is torch.strided and each.is_contiguous() for each in tensors)
    if parameter.numel() <= PART or parameter.is_cuda or not dense:
        yield parameter, gradient, *values
        return
    count = math.ceil(parameter.numel() / PART)

    def split(value: Any) -> Sequence[Any]:
        return value.view(-1).split(PART) if isinstance(value, Tensor) else (value,) * count

    parts, gradients = split(parameter), split(gradient)
    pieces = [{name: split(value) for name, value in each.items()} for each in values]
    for place in range(count):
        own = ({name: piece[place] for name, piece in each.items()} for each in pieces)
        yield parts[place], gradients[place], *own


def evaluate(closure: Callable[[], float] | None) -> float | None:
    """Computes loss and gradients, as torch's ``step(closure)`` does, and returns the loss."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _decayed(parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    decay = group["weight_decay"]
    return gradient.add(parameter, alpha=decay) if decay else gradient


def check_not_negative(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must not be negative, it is {value}")
