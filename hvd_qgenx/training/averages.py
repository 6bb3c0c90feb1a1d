"""Averages of a model's weights along the run."""

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from hvd_qgenx.training.config import WEIGHTS
from hvd_qgenx.training.fitting import require_like


class Averages:
    """Three averages of a model's parameters.

    ``ema``: exponential, over the points X_{t+1} after every update, as is usual for GANs.
    ``uniform``: the mean of the same points.
    ``ergodic``: the mean of the points where each update's last gradient was taken, X_{t+1/2} for
    extra-gradient: what the theory of Q-GenX bounds the gap of.

    They begin with the first point, not with the weights before training. Statistics of batch norm
    do not belong to averaged weights and must be estimated anew.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.uniform = AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn())
        self.ergodic = AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn())

    def before_update(self, model: nn.Module) -> None:
        """Takes in the model where an update's last gradient was taken."""
        self.ergodic.update_parameters(model)

    def after_update(self, model: nn.Module) -> None:
        """Takes in the updated model."""
        self.ema.update_parameters(model)
        self.uniform.update_parameters(model)

    def module(self, weights: str) -> nn.Module:
        """Returns the model with this average as its weights."""
        averaged: nn.Module = getattr(self, weights).module
        return averaged

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in WEIGHTS[1:]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in WEIGHTS[1:]:
            getattr(self, name).load_state_dict(state[name])


def averaged(model: nn.Module, decay: float, state: Any, weights: str) -> nn.Module:
    """Returns a model with one of the averages that a checkpoint holds.

    Raises:
        ConfigurationError: they are not those of such a model.
    """
    averages = Averages(model, decay)
    require_like(state, averages.state_dict(), "averages")
    averages.load_state_dict(state)
    return averages.module(weights)
