"""The interface between a model's module and those who build it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from hvd_qgenx.nets.registry import NORMS


class Shape(NamedTuple):
    """Sizes of a classifier's images and logits."""

    channels: int
    side: int
    classes: int


@dataclass(frozen=True)
class Architecture:
    """A way to build classifiers: float32 images (N, channels, side, side) to logits (N, classes)."""

    build: Callable[[Shape, str], nn.Module]
    """Returns the network for a shape, with one of ``norms`` (an empty name if there are none)."""
    smallest: int
    """The least side of images: the last convolution still sees maps of 2x2 pixels."""
    norms: tuple[str, ...] = NORMS
    """Norms to choose from, the default first; empty for a network without norms."""
