"""The interface between an autoencoder's module and those who build it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn


class Shape(NamedTuple):
    """Sizes of an autoencoder's images, layers and codes."""

    channels: int
    side: int
    width: int
    latent: int


@dataclass(frozen=True)
class Architecture:
    """A way to build autoencoders."""

    encoder: Callable[[Shape], nn.Module]
    """Returns a network from images (n, channels, side, side) to 2 latent values (n, 2 latent)."""
    decoder: Callable[[Shape], nn.Module]
    """Returns a network from codes (n, latent) to logits of pixels (n, channels, side, side)."""
    smallest: int = 1
    """The least side of images."""
    multiple: int = 1
    """A divisor that the side must have."""
    width: int = 400
    """The default width of a plugin's layers; those of this project have theirs in ``registry.WIDTHS``."""
