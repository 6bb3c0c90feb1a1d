"""A variational autoencoder: a Gaussian posterior of codes for every image, and pixels for every code."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Posterior(NamedTuple):
    """Independent Gaussians over the codes of n images."""

    mean: Tensor
    """Shape (n, latent), float32."""
    log_variance: Tensor
    """The same shape."""

    def codes(self, noise: Tensor) -> Tensor:
        """Returns a code for every image from standard normal noise of the same shape."""
        return self.mean + noise * (0.5 * self.log_variance).exp()


class Autoencoder(nn.Module):
    """An encoder and a decoder; both take and return float32, in whatever precision they compute."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent

    def encode(self, pixels: Tensor) -> Posterior:
        """Returns the posterior of images (n, channels, side, side) with pixel values in [0, 1]."""
        mean, log_variance = self.encoder(pixels).float().chunk(2, dim=1)
        return Posterior(mean, log_variance)

    def decode(self, codes: Tensor) -> Tensor:
        """Returns the logits of the pixels' means, (n, channels, side, side), for codes (n, latent)."""
        logits: Tensor = self.decoder(codes)
        return logits.float()

    def images(self, codes: Tensor) -> Tensor:
        """Returns the means of the pixels as images in [-1, 1]."""
        return 2 * self.decode(codes).sigmoid() - 1


def pixel_values(images: Tensor) -> Tensor:
    """Returns images in [-1, 1] as pixel values in [0, 1], which likelihoods are defined for."""
    return (images + 1) / 2


def prior_codes(count: int, latent: int, random: torch.Generator) -> Tensor:
    """Returns codes (count, latent) from the standard normal prior, on the CPU."""
    return torch.randn(count, latent, generator=random)
