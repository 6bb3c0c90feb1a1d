"""Draws latents, and prepares generators for evaluation."""

import copy

import torch
from torch import Tensor, nn

from compressors.random import generator as random_numbers
from hvd_qgenx.data.streams import RandomStream

ESTIMATE_BATCHES, ESTIMATE_SIZE = 10, 100


@torch.no_grad()
def with_statistics(generator: nn.Module, latent: int, classes: int, seed: int) -> nn.Module:
    """Returns a copy in evaluation mode, with batch norm statistics estimated for its weights.

    They are the mean over ten batches of a hundred latents, a function of weights and seed, and so the same on all
    ranks; the running statistics depend on each rank's own batches.
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
    """Returns latents (count, latent) and, if there are classes, labels (count,); functions of the words alone."""
    random = random_numbers(*words)
    latents = torch.randn(count, latent, generator=random)
    labels = torch.randint(classes, (count,), generator=random).to(device) if classes else None
    return latents.to(device), labels


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
