"""The optimizers a GAN can be trained with, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from hvd_qgenx.optim import (
    ExtraAdam,
    ExtraSGD,
    OptimisticAdam,
    OptimisticSGD,
    PastExtraAdam,
    PastExtraSGD,
    QGenX,
)

Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """How to make one optimizer, and what is peculiar to it."""

    make: Callable[..., Optimizer]
    """Takes parameter groups and the settings named in ``settings``."""
    settings: tuple[str, ...]
    """Fields of the configuration that it uses, beside the step sizes."""
    rates: tuple[float, float]
    """Default step sizes of generator and discriminator."""
    moves: int = 1
    """Moves, each with gradients and an exchange, in an update of both players."""


_ADAM = ("beta1", "beta2", "amsgrad")
_SGD = ("momentum", "nesterov")


def _adam(cls: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    def make(groups: Groups, beta1: float, beta2: float, amsgrad: bool) -> Optimizer:
        return cls(groups, betas=(beta1, beta2), amsgrad=amsgrad)

    return make


def _sgd(cls: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
    def make(groups: Groups, momentum: float, nesterov: bool) -> Optimizer:
        return cls(groups, lr=0.0, momentum=momentum, nesterov=nesterov)

    return make


def _qgenx(variant: str) -> Callable[..., Optimizer]:
    return lambda groups, delta: QGenX(groups, variant, delta=delta)


METHODS = {
    "extra-adam": Method(_adam(ExtraAdam), _ADAM, (2e-4, 1e-3), moves=2),
    "past-extra-adam": Method(_adam(PastExtraAdam), _ADAM, (2e-4, 1e-3)),
    "optimistic-adam": Method(_adam(OptimisticAdam), _ADAM, (2e-4, 1e-3)),
    "adam": Method(_adam(torch.optim.Adam), _ADAM, (2e-4, 1e-3)),
    "extra-sgd": Method(_sgd(ExtraSGD), _SGD, (1e-2, 5e-2), moves=2),
    "past-extra-sgd": Method(_sgd(PastExtraSGD), _SGD, (1e-2, 5e-2)),
    "optimistic-sgd": Method(_sgd(OptimisticSGD), _SGD, (1e-2, 5e-2)),
    "sgd": Method(_sgd(torch.optim.SGD), _SGD, (1e-2, 5e-2)),
    "qgenx-de": Method(_qgenx("de"), ("delta",), (3.0, 0.1), moves=2),
    "qgenx-da": Method(_qgenx("da"), ("delta",), (3.0, 0.1)),
    "qgenx-optda": Method(_qgenx("optda"), ("delta",), (3.0, 0.1)),
}
"""With a quantizing compressor ``sgd`` is QSGDA."""
