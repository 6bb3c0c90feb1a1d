"""Classifiers made by name, checked against what they take, and given their first weights."""

import torch
from torch import nn

from compressors.naming import unknown
from compressors.random import generator
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.nets.making import leaving_generators
from hvd_qgenx.nets.norms import NORM_LAYERS
from hvd_qgenx.nets.registry import NORMS
from hvd_qgenx.tasks.classify.models.architecture import Shape
from hvd_qgenx.tasks.classify.models.registry import MODELS


def make(model: str, *, channels: int, side: int, classes: int, norm: str | None = None) -> nn.Module:
    """Returns a classifier on the CPU, with weights yet to be set: by ``initialize`` or ``load_state_dict``.

    Args:
        model: one of ``MODELS``.
        channels: number of channels of the images.
        side: height and width of the images.
        classes: number of logits.
        norm: one of ``NORMS``; None: the model's default.

    Raises:
        ConfigurationError: as ``check`` does.
    """
    check(model, side, norm)
    architecture = MODELS[model]
    with leaving_generators():
        network: nn.Module = architecture.build(
            Shape(channels, side, classes), norm or next(iter(architecture.norms), "")
        )
    return network


def check(model: str, side: int, norm: str | None = None) -> None:
    """Raises ConfigurationError if there is no such model or norm, or if the model takes no such side or norm."""
    architecture = MODELS[model]
    if side < architecture.smallest:
        raise ConfigurationError(
            f"{model} takes images of side {architecture.smallest} or more, not {side}; "
            "choose larger images or another model"
        )
    if norm is not None and norm not in NORMS:
        raise ConfigurationError(unknown("norm", norm, NORMS))
    if norm is not None and norm not in architecture.norms:
        raise ConfigurationError(f"{model} has no norm layers; choose another model or leave out the norm {norm!r}")


@torch.no_grad()
def initialize(model: nn.Module, *words: int) -> None:
    """Sets all parameters and buffers, as a function of the words alone.

    Convolutions start from N(0, 2 / fan out) (He et al., ICCV 2015, equation 14), linear layers from the uniform
    distribution within 1 / sqrt(fan in), which is the default of ``torch.nn.Linear``; biases are zero, and norms
    begin with gain 1, bias 0 and empty statistics.
    """
    random = generator(*words)
    for module in model.modules():
        if isinstance(module, NORM_LAYERS):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=random)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            nn.init.uniform_(module.weight, -bound, bound, generator=random)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
