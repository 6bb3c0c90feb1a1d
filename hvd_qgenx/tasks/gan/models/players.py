"""The two networks of a GAN."""

from typing import NamedTuple

from torch import nn


class Players(NamedTuple):
    """The two networks of a GAN."""

    generator: nn.Module
    """Latents (N, latent) and labels (N,), or None, to images (N, channels, side, side) in [-1, 1]."""
    discriminator: nn.Module
    """Images (N, channels, side, side) and labels (N,), or None, to scores (N,)."""
