"""Gradients to exchange: the shapes of known models, filled with normal numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compressors.base import numel
from compressors.random import generator

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Workload:
    """Tensors whose gradients are exchanged together."""

    name: str
    shapes: Shapes

    @property
    def numel(self) -> int:
        return sum(numel(shape) for shape in self.shapes)

    def gradients(self, rank: int, seed: int = 0) -> list[Tensor]:
        """Returns float32 gradients, a function of rank and seed alone.

        Standard deviations differ between tensors, from 0.01 to 1, as between layers; they are the same on all ranks.
        """
        scales = 10 ** (-2 * torch.rand(len(self.shapes), generator=generator(seed, 0)))
        random = generator(seed, 1, rank)
        return [torch.randn(shape, generator=random) * scale for shape, scale in zip(self.shapes, scales, strict=True)]


def vector(size: int) -> Workload:
    """Returns a workload of one matrix with a single row."""
    return Workload("matrix", ((1, size),))


def resnet18() -> Shapes:
    """Returns the shapes of ResNet-18 with 10 classes: 62 tensors, 11.2 million parameters.

    Source: He et al. (CVPR 2016).
    """
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            shapes += [(width, before, 3, 3), (width,), (width,), (width, width, 3, 3), (width,), (width,)]
            if stage and not block:
                shapes += [(width, before, 1, 1), (width,), (width,)]
            before = width
    return (*shapes, (10, 512), (10,))


def gan() -> Shapes:
    """Returns the shapes of both players of ``hvd-qgenx gan`` at 32x32 with 78 filters: 2.6 million parameters."""
    from hvd_qgenx.tasks.gan.models import build

    with torch.device("meta"):
        players = build.make(
            "dcgan",
            channels=3,
            side=32,
            filters=78,
            latent=128,
            generator_norm="batch",
            discriminator_norm="batch",
        )
    return tuple(tuple(parameter.shape) for player in players for parameter in player.parameters())
