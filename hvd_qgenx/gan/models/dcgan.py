"""DCGAN at the sizes of the usual small data sets.

At 32x32 with 64 filters: 1,195,587 parameters in the generator and, with norm, 663,745 in the
discriminator, the sizes of Gidel et al. (ICLR 2019).
"""

import itertools

from torch import Tensor, nn

SMALLEST = {8: 2, 28: 7, 32: 4, 64: 4}
"""Side of the innermost feature map for every image side supported."""


class Generator(nn.Module):
    """Latents (N, latent) to images (N, channels, side, side) in [-1, 1]."""

    def __init__(self, channels: int, side: int, filters: int, latent: int, norm: str) -> None:
        super().__init__()
        inner, widths = _widths(side, filters)
        features = widths[-1] * inner * inner
        self.unflatten = (widths[-1], inner, inner)
        self.project = nn.Sequential(nn.Linear(latent, features), _norm(norm, features, nn.BatchNorm1d), nn.ReLU())
        layers: list[nn.Module] = []
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), _norm(norm, narrow, nn.BatchNorm2d), nn.ReLU()]
        self.upsample = nn.Sequential(*layers, nn.ConvTranspose2d(widths[0], channels, 4, 2, 1), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.upsample(self.project(latents).unflatten(1, self.unflatten))
        return images


class Discriminator(nn.Module):
    """Images (N, channels, side, side) to scores (N,)."""

    def __init__(self, channels: int, side: int, filters: int, norm: str) -> None:
        super().__init__()
        inner, widths = _widths(side, filters)
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU()]
        for narrow, wide in itertools.pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), _norm(norm, wide, nn.BatchNorm2d), nn.LeakyReLU()]
        self.downsample = nn.Sequential(*layers)
        self.score = nn.Linear(widths[-1] * inner * inner, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        scores: Tensor = self.score(self.downsample(images).flatten(1))
        return scores.squeeze(1)


def _widths(side: int, filters: int) -> tuple[int, list[int]]:
    """Side of the innermost map, and the widths of the maps from the outermost to it."""
    inner = SMALLEST[side]
    halvings = (side // inner).bit_length() - 1
    return inner, [filters * 2**k for k in range(halvings)]


def _norm(kind: str, features: int, batch_norm: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]) -> nn.Module:
    if kind == "batch":
        return batch_norm(features)
    return nn.GroupNorm(1, features) if kind == "layer" else nn.Identity()
