"""VGG of 11, 13, 16 and 19 layers (Simonyan and Zisserman, ICLR 2015, table 1) for small images.

Every convolution is followed by a norm, and one linear layer stands in the place of three.
"""

from functools import partial

from torch import Tensor, nn

from hvd_qgenx.nets.norms import normalization
from hvd_qgenx.tasks.classify.models.architecture import Architecture, Shape

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the five stages, each of which ends with a pooling."""


class VGG(nn.Module):
    """float32 images (N, channels, H, W) to logits (N, classes)."""

    def __init__(self, convolutions: tuple[int, ...], shape: Shape, norm: str) -> None:
        super().__init__()
        narrow = shape.channels
        layers: list[nn.Module] = []
        for width, count in zip(WIDTHS, convolutions, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(narrow, width, 3, 1, 1), normalization(norm, width), nn.ReLU()]
                narrow = width
            layers.append(nn.MaxPool2d(2, ceil_mode=True))  # so that 28 can be halved five times
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(narrow, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.features(images).mean((2, 3)))
        return logits


def _stages(*convolutions: int) -> Architecture:
    return Architecture(partial(VGG, convolutions), smallest=17)  # 17, 9, 5, 3, 2


vgg11 = _stages(1, 1, 2, 2, 2)
vgg13 = _stages(2, 2, 2, 2, 2)
vgg16 = _stages(2, 2, 3, 3, 3)
vgg19 = _stages(2, 2, 4, 4, 4)
