"""DCGAN (Radford et al., ICLR 2016) for images of side 8 and more, in steps of 4.

At 32x32 with 64 filters: 1,195,587 parameters in the generator and, with norm, 663,745 in the
discriminator, the sizes of Gidel et al. (ICLR 2019).
"""

import itertools

from torch import Tensor, nn

from hvd_qgenx.tasks.gan.models.layers import Score, Upsampling, laid_out, normalization
from hvd_qgenx.tasks.gan.models.sides import innermost


class Generator(Upsampling):
    """Maps latents (N, latent) to images (N, channels, side, side) in [-1, 1]."""

    def __init__(self, channels: int, side: int, filters: int, latent: int, norm: str, classes: int = 0) -> None:
        super().__init__()
        inner, widths = _widths(side, filters)
        features = widths[-1] * inner * inner
        self.classes = classes
        self.unflatten = (widths[-1], inner, inner)
        self.project = nn.Sequential(
            nn.Linear(latent + classes, features), normalization(norm, features, maps=False), nn.ReLU()
        )
        layers: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(reversed(widths)):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), normalization(norm, narrow), nn.ReLU()]
        self.upsample = nn.Sequential(*layers, nn.ConvTranspose2d(widths[0], channels, 4, 2, 1), nn.Tanh())


class Discriminator(nn.Module):
    """Maps images (N, channels, side, side) to scores (N,)."""

    def __init__(self, channels: int, side: int, filters: int, norm: str, classes: int = 0) -> None:
        super().__init__()
        inner, widths = _widths(side, filters)
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU()]
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), normalization(norm, wide), nn.LeakyReLU()]
        self.downsample = nn.Sequential(*layers)
        self.score = Score(widths[-1] * inner * inner, classes)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        scores: Tensor = self.score(self.downsample(laid_out(images)).flatten(1), labels)
        return scores


def _widths(side: int, filters: int) -> tuple[int, list[int]]:
    """Returns the side of the innermost map, and the widths of the maps from the outermost to it."""
    inner, halvings = innermost(side)
    return inner, [filters * 2**k for k in range(halvings)]
