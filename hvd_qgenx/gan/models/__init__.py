"""Generators and discriminators, by name."""

from typing import NamedTuple

from torch import nn

from compressors.random import generator
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gan.models import dcgan

MODELS = ("dcgan",)
NORMS = ("batch", "layer", "none")


class Players(NamedTuple):
    """The two networks of a GAN."""

    generator: nn.Module
    """Latents (N, latent) and labels (N,), or None, to images (N, channels, side, side) in [-1, 1]."""
    discriminator: nn.Module
    """Images (N, channels, side, side) and labels (N,), or None, to scores (N,)."""


def make(
    model: str,
    *,
    channels: int,
    side: int,
    filters: int,
    latent: int,
    generator_norm: str,
    discriminator_norm: str,
    spectral_norm: bool = False,
    classes: int = 0,
) -> Players:
    """Both players.

    Args:
        model: one of ``MODELS``.
        channels: of the images.
        side: of the images, which are square.
        filters: width of the innermost (ResNet: every) feature map.
        latent: length of a latent vector.
        generator_norm: one of ``NORMS``, and so the next.
        discriminator_norm: of the discriminator.
        spectral_norm: divide the discriminator's weights by their largest singular values.
        classes: if not 0, both players also take labels below it.
    """
    return Players(
        dcgan.Generator(channels, side, filters, latent, generator_norm),
        dcgan.Discriminator(channels, side, filters, discriminator_norm),
    )


def check(model: str, side: int) -> None:
    """Raises ConfigurationError if the model cannot make images of this side."""
    if side not in dcgan.SMALLEST:
        raise ConfigurationError(f"{model} makes images of side {', '.join(map(str, dcgan.SMALLEST))}, not {side}")


def initialize(model: nn.Module, *words: int) -> None:
    """Weights from N(0, 0.02), a function of the words alone; biases zero."""
    random = generator(*words)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
