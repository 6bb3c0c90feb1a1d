"""Dropout with random numbers of its own."""

import torch
from torch import Tensor, nn


class Masks:
    """The random numbers of all dropout layers of a model, to be set before every pass in training."""

    generator: torch.Generator | None = None


class Dropout(nn.Module):
    """Zeros a share of the values, and scales the rest up (Srivastava et al., JMLR 2014).

    Torch's own draws from one generator of the whole process, so what it draws depends on what ran before, and on
    other ranks that are threads of this process.
    """

    def __init__(self, share: float, masks: Masks) -> None:
        super().__init__()
        self.share, self.masks = share, masks

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.share:
            return values
        kept = torch.empty_like(values).bernoulli_(1 - self.share, generator=self.masks.generator)
        return values * kept.div_(1 - self.share)
