"""Optimizers by name, for the settings of a run. Listing them imports none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hvd_qgenx.registry import load

if TYPE_CHECKING:
    from torch.optim import Optimizer

Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """How to make one optimizer, and what is peculiar to it."""

    make: "Callable[..., Optimizer]"
    """Takes parameter groups, each with its step size, and any of the settings named in ``settings``."""
    settings: tuple[str, ...]
    """Settings that it has, beside the step size."""
    moves: int = 1
    """Moves in an update, each with gradients and an exchange of its own."""


def _adam(place: str, moves: int = 1, own: tuple[str, ...] = ("epsilon_place",)) -> Method:
    def make(groups: Groups, beta1: float, beta2: float, amsgrad: bool, **more: Any) -> "Optimizer":
        optimizer: Optimizer = load(place)(groups, betas=(beta1, beta2), amsgrad=amsgrad, **more)
        return optimizer

    return Method(make, ("beta1", "beta2", "amsgrad", *own, "weight_decay"), moves)


def _sgd(place: str, moves: int = 1) -> Method:
    def make(groups: Groups, **settings: float) -> "Optimizer":
        optimizer: Optimizer = load(place)(groups, lr=0.0, **settings)
        return optimizer

    return Method(make, ("momentum", "nesterov", "dampening", "weight_decay"), moves)


def _qgenx(variant: str, moves: int = 1) -> Method:
    def make(groups: Groups, delta: float) -> "Optimizer":
        optimizer: Optimizer = load("hvd_qgenx.optim.qgenx:QGenX")(groups, variant, delta=delta)
        return optimizer

    return Method(make, ("delta",), moves)


def _qoda(exponent: float | None) -> Method:
    def make(groups: Groups, delta: float) -> "Optimizer":
        optimizer: Optimizer = load("hvd_qgenx.optim.qoda:QODA")(groups, delta=delta, exponent=exponent)
        return optimizer

    return Method(make, ("delta",))


METHODS = {
    "extra-adam": _adam("hvd_qgenx.optim.extragradient:ExtraAdam", moves=2),
    "past-extra-adam": _adam("hvd_qgenx.optim.past:PastExtraAdam"),
    "optimistic-adam": _adam("hvd_qgenx.optim.optimistic:OptimisticAdam"),
    "adam": _adam("hvd_qgenx.optim.eager:Adam", own=()),
    "adamw": _adam("hvd_qgenx.optim.eager:AdamW", own=()),
    "extra-sgd": _sgd("hvd_qgenx.optim.extragradient:ExtraSGD", moves=2),
    "past-extra-sgd": _sgd("hvd_qgenx.optim.past:PastExtraSGD"),
    "optimistic-sgd": _sgd("hvd_qgenx.optim.optimistic:OptimisticSGD"),
    "sgd": _sgd("hvd_qgenx.optim.eager:SGD"),
    "qgenx-de": _qgenx("de", moves=2),
    "qgenx-da": _qgenx("da"),
    "qgenx-optda": _qgenx("optda"),
    "qoda": _qoda(None),
    "qoda-separated": _qoda(0.25),
}
"""With a quantizing compressor ``sgd`` is QSGDA."""
