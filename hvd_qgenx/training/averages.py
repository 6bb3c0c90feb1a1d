"""Averages of the generator's weights along the run."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from compressors.random import generator as random_numbers
from hvd_qgenx.data.streams import RandomStream

WEIGHTS = ("raw", "ema", "uniform", "ergodic")
"""Which weights a generator can have: the last ones, or an average."""

ESTIMATE_BATCHES, ESTIMATE_SIZE = 10, 100


class Averages:
    """Three averages of a generator's parameters.

    ``ema``: exponential, over the points X_{t+1} after every update, as is usual for GANs.
    ``uniform``: the mean of the same points.
    ``ergodic``: the mean of the points where each update's last gradient was taken, X_{t+1/2} for
    extra-gradient: what the theory of Q-GenX bounds the gap of.

    They begin with the first point, not with the weights before training. Statistics of batch norm
    do not belong to averaged weights: ``with_statistics`` estimates them.
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.ema = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.uniform = AveragedModel(generator, multi_avg_fn=get_swa_multi_avg_fn())
        self.ergodic = AveragedModel(generator, multi_avg_fn=get_swa_multi_avg_fn())

    def before_update(self, generator: nn.Module) -> None:
        """The generator is where an update's last gradient was taken."""
        self.ergodic.update_parameters(generator)

    def after_update(self, generator: nn.Module) -> None:
        """The generator has been updated."""
        self.ema.update_parameters(generator)
        self.uniform.update_parameters(generator)

    def module(self, weights: str) -> nn.Module:
        """The generator with this average for its weights."""
        averaged: nn.Module = getattr(self, weights).module
        return averaged

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).state_dict() for name in WEIGHTS[1:]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in WEIGHTS[1:]:
            getattr(self, name).load_state_dict(state[name])


@torch.no_grad()
def with_statistics(generator: nn.Module, latent: int, classes: int, seed: int) -> nn.Module:
    """A copy in evaluation mode, whose batch norm has statistics of its own weights.

    They are the mean over ten batches of a hundred latents, drawn for the purpose: a function of weights
    and seed, so the same on all ranks, and other than the running ones not of some rank's own images.
    """
    model = copy.deepcopy(generator)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean
        model.train()
        for batch in range(ESTIMATE_BATCHES):
            model(*draw(ESTIMATE_SIZE, latent, classes, seed, RandomStream.NORMALIZATION, batch, device=_device(model)))
    return model.eval().requires_grad_(False)


def draw(
    count: int, latent: int, classes: int, *words: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor | None]:
    """Latents (count, latent) and, if there are classes, labels (count,); functions of the words alone."""
    random = random_numbers(*words)
    latents = torch.randn(count, latent, generator=random)
    labels = torch.randint(classes, (count,), generator=random).to(device) if classes else None
    return latents.to(device), labels


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
