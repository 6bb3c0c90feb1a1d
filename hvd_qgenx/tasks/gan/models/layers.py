"""What the models share: norms, labels, layout in memory, the last layer, spectral norm."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

NORM_LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)

POWER_ITERATIONS = 15
"""Before training, for the largest singular values; as in torch."""


def normalization(norm: str, features: int, maps: bool = True) -> nn.Module:
    """Of feature maps (N, features, H, W), or of vectors (N, features).

    Layer norm takes mean and variance over channels and space, but has a gain and a bias for every
    channel, as batch norm has.
    """
    if norm == "batch":
        return nn.BatchNorm2d(features) if maps else nn.BatchNorm1d(features)
    return nn.GroupNorm(1, features) if norm == "layer" else nn.Identity()


def with_labels(latents: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """Latents (N, latent) with their labels (N,) as one-hot beside them, (N, latent + classes)."""
    if labels is None:
        return latents
    return torch.cat([latents, F.one_hot(labels, classes).to(latents)], dim=1)


def laid_out(maps: Tensor) -> Tensor:
    """The same maps (N, C, H, W), in memory as the convolutions after them want it."""
    kind = maps.device.type
    return maps.contiguous(memory_format=memory_format(kind, mixed=torch.is_autocast_enabled(kind)))


def memory_format(kind: str, mixed: bool) -> torch.memory_format:
    """Channels last for bfloat16 on a GPU, whose tensor cores want it.

    On a CPU gradients with penalty take from 5 % less to a third more time (8 to 64 images).
    Weights stay contiguous, since their gradients are parts of one flat buffer.
    """
    return torch.channels_last if kind == "cuda" and mixed else torch.contiguous_format


class Upsampling(nn.Module):
    """Latents (N, latent), and labels (N,) if there are classes, to images in [-1, 1]: what all generators do.

    Subclasses set ``classes``, ``unflatten`` (the shape of the innermost feature maps), and the modules
    ``project`` (latents to the numbers of these) and ``upsample`` (them to images).
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
    """The last layer: features (N, F) to scores (N,).

    With classes it adds <V[label], features>, V (classes, F) learned: Miyato and Koyama, "cGANs with
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
    """The layers with a weight that is drawn at the start."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)
    return [module for module in model.modules() if isinstance(module, kinds)]


def original_weight(layer: Any) -> Tensor:
    """What training moves: the weight before any division."""
    weight: Tensor = layer.parametrizations.weight.original if is_parametrized(layer) else layer.weight
    return weight


@torch.no_grad()
def start_power_iteration(layer: Any, random: torch.Generator) -> None:
    """Estimates the largest singular value, if the layer is divided by it, from a vector of ``random``."""
    if is_parametrized(layer):
        weight = layer.parametrizations.weight
        weight[0]._v.normal_(generator=random)
        for _ in range(POWER_ITERATIONS):
            weight()
