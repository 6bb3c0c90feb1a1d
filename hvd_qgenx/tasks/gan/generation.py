"""Draws latents and labels, and prepares generators for evaluation."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from compressors.random import generator as random_numbers
from hvd_qgenx.data.streams import RandomStream

ESTIMATE_BATCHES, ESTIMATE_SIZE = 10, 100


@dataclass(frozen=True)
class Inputs:
    """The distribution of a generator's inputs: latents, and labels if it is conditional.

    Attributes:
        latent: length of a latent vector.
        counts: number of training images of every class, in proportion to which labels are drawn; empty: the
            generator takes no labels.
    """

    latent: int
    counts: tuple[int, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes; 0: the generator takes no labels."""
        return len(self.counts)

    def draw(self, count: int, *words: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor | None]:
        """Returns latents (count, latent) and, if there are classes, labels (count,); functions of the words alone."""
        random = random_numbers(*words)
        latents = torch.randn(count, self.latent, generator=random)
        if not self.counts:
            return latents.to(device), None
        weights = torch.tensor(self.counts, dtype=torch.float64)
        labels = torch.multinomial(weights, count, replacement=True, generator=random)
        return latents.to(device), labels.to(device)


@torch.no_grad()
def with_statistics(generator: nn.Module, inputs: Inputs, seed: int) -> nn.Module:
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
            model(*inputs.draw(ESTIMATE_SIZE, seed, RandomStream.NORMALIZATION, batch, device=_device(model)))
    return model.eval().requires_grad_(False)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
