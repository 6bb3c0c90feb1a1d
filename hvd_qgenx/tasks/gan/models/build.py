"""Players made by name, checked against the images, and given their first weights."""

import torch
from torch import nn

from compressors.random import generator
from hvd_qgenx.nets.making import leaving_generators
from hvd_qgenx.nets.sides import check_side
from hvd_qgenx.tasks.gan.models import layers, sides
from hvd_qgenx.tasks.gan.models.players import Players
from hvd_qgenx.tasks.gan.registry import MODELS


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
    """Returns both players on the CPU, with uninitialized weights; call ``initialize`` or ``load_state_dict``.

    Args:
        model: one of ``MODELS``.
        channels: channels of the images.
        side: side of the square images; one that ``check`` accepts.
        filters: width of the outermost (ResNet: every) feature map.
        latent: length of a latent vector.
        generator_norm: norm of the generator, one of ``NORMS``.
        discriminator_norm: norm of the discriminator, one of ``NORMS``.
        spectral_norm: divide the discriminator's weights by their largest singular values.
        classes: if not 0, both players also take labels below it.
    """
    networks = MODELS[model]
    with leaving_generators():
        players = Players(
            networks.Generator(channels, side, filters, latent, generator_norm, classes),
            networks.Discriminator(channels, side, filters, discriminator_norm, classes),
        )
        if spectral_norm:
            layers.normalize_spectrum(players.discriminator)
    return players


def check(model: str, side: int) -> None:
    """Checks that the model supports images of this side.

    Raises:
        ConfigurationError: it does not.
    """
    check_side(model, side, sides.SMALLEST, sides.STEP)


@torch.no_grad()
def initialize(model: nn.Module, *words: int) -> None:
    """Draws weights from N(0, 0.02), as a function of the words alone; resets biases to zero, and norms."""
    random = generator(*words)
    for module in model.modules():
        if isinstance(module, layers.NORM_LAYERS):
            module.reset_parameters()
    weighted = layers.weighted(model)
    for layer in weighted:
        nn.init.normal_(layers.original_weight(layer), 0.0, 0.02, generator=random)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    for layer in weighted:
        layers.start_power_iteration(layer, random)
