"""Distributions of pixels around what a decoder makes."""

import math
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hvd_qgenx.tasks.vae.registry import BERNOULLI


@dataclass(frozen=True)
class Likelihood:
    """Independent pixels with values in [0, 1], whose means are the logistic function of the logits.

    With ``bernoulli`` a value between 0 and 1 counts as the probability of 1, so the loss is a cross-entropy. With
    ``gaussian`` it is a density, of pixel values in [0, 1], so it may be negative.
    """

    name: str
    """One of ``registry.LIKELIHOODS``."""
    noise: float
    """Standard deviation of a pixel with ``gaussian``, in the same unit as pixel values."""

    def negative_log(self, logits: Tensor, pixels: Tensor) -> Tensor:
        """Returns -log p(image | code) in nats for every image, (n,), of tensors (n, channels, side, side)."""
        if self.name == BERNOULLI:
            losses = F.binary_cross_entropy_with_logits(logits, pixels, reduction="none")
        else:
            constant = math.log(self.noise) + 0.5 * math.log(2 * math.pi)
            losses = ((pixels - logits.sigmoid()) / self.noise).square() / 2 + constant
        return losses.flatten(1).sum(1)
