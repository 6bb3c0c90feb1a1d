"""ResNets of 6 n + 2 layers for small images (He et al., CVPR 2016, section 4.2).

Modules are called as in https://github.com/akamaster/pytorch_resnet_cifar10, so that its public weights load;
``bn1`` and ``bn2`` hold whichever norm is chosen.
"""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.nets.norms import normalization

WIDTHS = (16, 32, 64)
"""Channels of the three stages."""


class CifarResNet(nn.Module):
    """float32 images (N, channels, H, W) to logits (N, classes)."""

    def __init__(self, depth: int, channels: int, classes: int, norm: str, projections: bool = False) -> None:
        """
        Args:
            depth: number of layers, 6 n + 2 with n blocks in each stage.
            channels: number of channels of the images.
            classes: number of logits.
            norm: one of ``NORMS``.
            projections: shortcuts of option B where channels double, instead of option A.
        """
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = normalization(norm, WIDTHS[0])
        self.layer1 = _stage(blocks, WIDTHS[0], WIDTHS[0], norm, projections)
        self.layer2 = _stage(blocks, WIDTHS[0], WIDTHS[1], norm, projections)
        self.layer3 = _stage(blocks, WIDTHS[1], WIDTHS[2], norm, projections)
        self.linear = nn.Linear(WIDTHS[2], classes)

    def features(self, images: Tensor) -> Tensor:
        """Returns the last feature maps, averaged over pixels: (N, 64)."""
        x = F.relu(self.bn1(self.conv1(images)))
        maps: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return maps.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.features(images))
        return logits


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, narrow: int, wide: int, norm: str, projections: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, wide // narrow, 1, bias=False)
        self.bn1 = normalization(norm, wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = normalization(norm, wide)
        self.shortcut = _shortcut(narrow, wide, norm, projections)

    def forward(self, x: Tensor) -> Tensor:
        residue = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residue + self.shortcut(x))


class Padding(nn.Module):
    """Every other pixel, and as many channels of zeros as there are channels: option A, which has no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))


def _shortcut(narrow: int, wide: int, norm: str, projections: bool) -> nn.Module:
    if narrow == wide:
        return nn.Identity()
    if projections:
        return nn.Sequential(nn.Conv2d(narrow, wide, 1, 2, bias=False), normalization(norm, wide))
    return Padding()


def _stage(blocks: int, narrow: int, wide: int, norm: str, projections: bool) -> nn.Sequential:
    rest = (Block(wide, wide, norm, projections) for _ in range(blocks - 1))
    return nn.Sequential(Block(narrow, wide, norm, projections), *rest)
