"""Wide ResNets of 6 n + 4 layers, k times as wide as ResNets (Zagoruyko and Komodakis, BMVC 2016), without dropout."""

from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.nets.norms import normalization
from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

WIDTHS = (16, 32, 64)
"""Channels of the three stages at k = 1."""


class WideResNet(nn.Module):
    """float32 images (N, channels, H, W) to logits (N, classes)."""

    def __init__(self, depth: int, factor: int, shape: Shape, norm: str) -> None:
        super().__init__()
        narrow = WIDTHS[0]
        self.stem = nn.Conv2d(shape.channels, narrow, 3, 1, 1, bias=False)
        self.blocks = nn.Sequential()
        for stage, width in enumerate(WIDTHS):
            for block in range((depth - 4) // 6):
                stride = 2 if stage and not block else 1
                self.blocks.append(Block(narrow, factor * width, stride, norm))
                narrow = factor * width
        self.norm = normalization(norm, narrow)
        self.linear = nn.Linear(narrow, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(F.relu(self.norm(self.blocks(self.stem(images)))).mean((2, 3)))
        return logits


class Block(nn.Module):
    """Norm and ReLU before each of two convolutions, and before the shortcut's where channels change."""

    def __init__(self, narrow: int, wide: int, stride: int, norm: str) -> None:
        super().__init__()
        self.norm = normalization(norm, narrow)
        self.residue = nn.Sequential(
            nn.Conv2d(narrow, wide, 3, stride, 1, bias=False),
            *(normalization(norm, wide), nn.ReLU(), nn.Conv2d(wide, wide, 3, 1, 1, bias=False)),
        )
        self.shortcut = nn.Conv2d(narrow, wide, 1, stride, bias=False) if narrow != wide else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm(x))
        total: Tensor = self.residue(active) + (x if self.shortcut is None else self.shortcut(active))
        return total


wrn_16_4 = Architecture(partial(WideResNet, 16, 4), smallest=5)  # 5, 3, 2
wrn_28_10 = Architecture(partial(WideResNet, 28, 10), smallest=5)
