"""Layers and helpers of all models: norms, labels, memory layout, the last layer, spectral norm."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)

POWER_ITERATIONS = 15
"""Power iterations for the largest singular values before training; torch's number."""


def normalization(norm: str, features: int, maps: bool = True) -> nn.Module:
    """Returns a norm for feature maps (N, features, H, W) or, without ``maps``, for vectors (N, features).

    Layer norm takes mean and variance over channels and space, but has a gain and a bias for every
    channel, as batch norm has.
    """
    if norm == "batch":
        return nn.BatchNorm2d(features) if maps else nn.BatchNorm1d(features)
    return nn.GroupNorm(1, features) if norm == "layer" else nn.Identity()


def with_labels(latents: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Returns latents (N, latent) concatenated with one-hot labels, (N, latent + classes)."""
    if labels is None:
        return latents
    return torch.cat([latents, F.one_hot(labels, classes).to(latents)], dim=1)


def laid_out(maps: Tensor) -> Tensor:
    """Returns the same maps (N, C, H, W) in the memory format that suits the following convolutions."""
    kind = maps.device.type
    return maps.contiguous(memory_format=memory_format(kind, mixed=torch.is_autocast_enabled(kind)))


def memory_format(kind: str, mixed: bool) -> torch.memory_format:
    """Returns channels last for bfloat16 on a GPU, which its tensor cores need, else contiguous.

    On a CPU gradients with penalty take from 5 % less to a third more time (8 to 64 images).
    Weights stay contiguous, since their gradients are parts of one flat buffer.
    """
    return torch.channels_last if kind == "cuda" and mixed else torch.contiguous_format


class Upsampling(nn.Module):
    """Base of all generators: maps latents (N, latent), and labels (N,) if there are classes, to images in [-1, 1].

    Subclasses set ``classes``, ``unflatten`` (the shape of the innermost feature maps), and the modules
    ``project`` (from latents to their flattened values) and ``upsample`` (from these maps to images).
    """

    classes: int
    unflatten: tuple[int, int, int]
    project: nn.Module
    upsample: nn.Module

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.project(with_labels(latents, labels, self.classes))
        images: Tensor = self.upsample(laid_out(features.unflatten(1, self.unflatten)))
        return images


class Score(nn.Module):
    """The last layer of a discriminator: maps features (N, F) to scores (N,).

    With classes it adds <V[label], features> with a trained V (classes, F): Miyato and Koyama, "cGANs with
    projection discriminator" (ICLR 2018), equation 4.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.classes = nn.Embedding(classes, features) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        scores: Tensor = self.linear(features).squeeze(1)
        if self.classes is not None:
            scores = scores + (self.classes(labels) * features).sum(1)
        return scores


def normalize_spectrum(model: nn.Module) -> None:
    """Divides every weight matrix, those of convolutions as (out, rest), by an estimate of its largest singular value.

    Source: Miyato et al., "Spectral normalization for generative adversarial networks" (ICLR 2018),
    algorithm 1: every forward pass in training mode improves the estimate by one power iteration.
    """
    for layer in weighted(model):
        spectral_norm(layer)


def weighted(model: nn.Module) -> list[Any]:
    """Returns the layers with randomly initialized weights."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)
    return [module for module in model.modules() if isinstance(module, kinds)]


def original_weight(layer: Any) -> Tensor:
    """Returns the trained weight, before spectral normalization."""
    weight: Tensor = layer.parametrizations.weight.original if is_parametrized(layer) else layer.weight
    return weight


@torch.no_grad()
def start_power_iteration(layer: Any, random: torch.Generator) -> None:
    """Starts the estimate of the largest singular value, if the layer has spectral norm, from a random vector."""
    if is_parametrized(layer):
        weight = layer.parametrizations.weight
        weight[0]._v.normal_(generator=random)
        for _ in range(POWER_ITERATIONS):
            weight()
