"""ResNet-18, 34 and 50 (He et al., CVPR 2016, table 1) for small images.

The first convolution is 3x3 with stride 1 and no pooling follows. Where sides halve, the shortcut is a
convolution (option B); bottlenecks halve them in their 3x3 convolution.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.nets.norms import normalization
from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages; bottlenecks put out four times as many."""
EXPANSION = 4
SMALLEST = 9
"""Side of images; the stages then have maps of side 9, 5, 3 and 2."""

Residue = Callable[[int, int, int, str], nn.Sequential]
"""Input channels, width, stride and norm to what is added to the shortcut."""


class ResNet(nn.Module):
    """float32 images (N, channels, H, W) to logits (N, classes)."""

    def __init__(self, residue: Residue, expansion: int, blocks: Sequence[int], shape: Shape, norm: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(shape.channels, WIDTHS[0], 3, 1, norm), nn.ReLU())
        self.blocks = nn.Sequential()
        narrow = WIDTHS[0]
        for stage, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True)):
            for block in range(count):
                stride = 2 if stage and not block else 1
                wide = expansion * width
                self.blocks.append(Block(residue(narrow, width, stride, norm), narrow, wide, stride, norm))
                narrow = wide
        self.linear = nn.Linear(narrow, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.blocks(self.stem(images)).mean((2, 3)))
        return logits


class Block(nn.Module):
    """relu(residue(x) + shortcut(x))"""

    def __init__(self, residue: nn.Module, narrow: int, wide: int, stride: int, norm: str) -> None:
        super().__init__()
        self.residue = residue
        changes = stride > 1 or narrow != wide
        self.shortcut = nn.Sequential(*_convolution(narrow, wide, 1, stride, norm)) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residue(x) + self.shortcut(x))


def _basic(narrow: int, width: int, stride: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        *(*_convolution(narrow, width, 3, stride, norm), nn.ReLU()),
        *_convolution(width, width, 3, 1, norm),
    )


def _bottleneck(narrow: int, width: int, stride: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        *(*_convolution(narrow, width, 1, 1, norm), nn.ReLU()),
        *(*_convolution(width, width, 3, stride, norm), nn.ReLU()),
        *_convolution(width, EXPANSION * width, 1, 1, norm),
    )


def _convolution(narrow: int, wide: int, kernel: int, stride: int, norm: str) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(narrow, wide, kernel, stride, kernel // 2, bias=False), normalization(norm, wide)


resnet18 = Architecture(partial(ResNet, _basic, 1, (2, 2, 2, 2)), smallest=SMALLEST)
resnet34 = Architecture(partial(ResNet, _basic, 1, (3, 4, 6, 3)), smallest=SMALLEST)
resnet50 = Architecture(partial(ResNet, _bottleneck, EXPANSION, (3, 4, 6, 3)), smallest=SMALLEST)
