"""DenseNet-BC of L layers and growth rate k (Huang et al., CVPR 2017), without dropout."""

from functools import partial

import torch
from torch import Tensor, nn

from hvd_qgenx.nets.norms import normalization
from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

STAGES = 3
BOTTLENECK = 4
"""Channels that a dense layer's 1x1 convolution puts out, in growth rates."""


class DenseNet(nn.Module):
    """float32 images (N, channels, H, W) to logits (N, classes)."""

    def __init__(self, depth: int, growth: int, shape: Shape, norm: str) -> None:
        super().__init__()
        channels = 2 * growth
        layers: list[nn.Module] = [nn.Conv2d(shape.channels, channels, 3, 1, 1, bias=False)]
        for stage in range(STAGES):
            if stage:  # a transition, which halves channels and sides
                layers += [*_convolution(norm, channels, channels // 2, 1), nn.AvgPool2d(2)]
                channels //= 2
            for _ in range((depth - STAGES - 1) // (2 * STAGES)):
                layers.append(DenseLayer(channels, growth, norm))
                channels += growth
        self.layers = nn.Sequential(*layers, normalization(norm, channels), nn.ReLU())
        self.linear = nn.Linear(channels, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.layers(images).mean((2, 3)))
        return logits


class DenseLayer(nn.Module):
    """Puts ``growth`` new maps beside those it is given."""

    def __init__(self, channels: int, growth: int, norm: str) -> None:
        super().__init__()
        self.new = nn.Sequential(
            *_convolution(norm, channels, BOTTLENECK * growth, 1),
            *_convolution(norm, BOTTLENECK * growth, growth, 3),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([maps, self.new(maps)], dim=1)


def _convolution(norm: str, narrow: int, wide: int, kernel: int) -> tuple[nn.Module, ...]:
    """Makes norm, ReLU and convolution."""
    convolution = nn.Conv2d(narrow, wide, kernel, padding=kernel // 2, bias=False)
    return normalization(norm, narrow), nn.ReLU(), convolution


densenet_bc_40_12 = Architecture(partial(DenseNet, 40, 12), smallest=8)  # 8, 4, 2
densenet_bc_100_12 = Architecture(partial(DenseNet, 100, 12), smallest=8)
