"""Autoencoders made by name, checked against the images, and given their first weights."""

import torch
from torch import nn

from compressors.random import generator
from hvd_qgenx.nets.making import leaving_generators
from hvd_qgenx.nets.sides import check_side
from hvd_qgenx.tasks.vae.models.architecture import Shape
from hvd_qgenx.tasks.vae.models.autoencoder import Autoencoder
from hvd_qgenx.tasks.vae.models.registry import MODELS


def make(model: str, shape: Shape) -> Autoencoder:
    """Returns an autoencoder on the CPU, with weights yet to be set: by ``initialize`` or ``load_state_dict``.

    Args:
        model: one of ``MODELS``.
        shape: with a side that ``check`` accepts.

    Raises:
        ConfigurationError: as ``check`` does.
    """
    check(model, shape.side)
    architecture = MODELS[model]
    with leaving_generators():
        return Autoencoder(architecture.encoder(shape), architecture.decoder(shape), shape.latent)


def check(model: str, side: int) -> None:
    """Raises ConfigurationError if there is no such model, or if it takes no images of this side."""
    architecture = MODELS[model]
    check_side(model, side, architecture.smallest, architecture.multiple, " or choose --model mlp")


@torch.no_grad()
def initialize(model: nn.Module, *words: int) -> None:
    """Sets all parameters, as a function of the words alone.

    Weights are uniform within 1 / sqrt(inputs of a unit), the default of ``torch.nn.Linear``; biases are zero.
    """
    random = generator(*words)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            bound = _inputs(module) ** -0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=random)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def _inputs(module: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> int:
    """Returns the number of inputs that an output of a layer depends on."""
    if isinstance(module, nn.ConvTranspose2d):
        return module.in_channels * module.weight[0, 0].numel() // (module.stride[0] * module.stride[1])
    return module.weight[0].numel()
