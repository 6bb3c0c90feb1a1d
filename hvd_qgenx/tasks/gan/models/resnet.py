"""ResNet with feature maps of one width (Gulrajani et al., NeurIPS 2017, appendix F; Gidel et al., ICLR 2019).

At 32x32 with 128 filters: 1,548,547 parameters in the generator with norm, 1,053,825 in the
discriminator without, the sizes of Gidel et al.
"""

from torch import Tensor, nn

from hvd_qgenx.tasks.gan.models.layers import Score, Upsampling, laid_out, normalization
from hvd_qgenx.tasks.gan.models.sides import innermost

WIDEST = 8
"""The discriminator halves its maps once, and then until their side is at most this."""
PLAIN_BLOCKS = 2
"""Blocks at the end of the discriminator that keep the side."""


class Generator(Upsampling):
    """Maps latents (N, latent) to images (N, channels, side, side) in [-1, 1]."""

    def __init__(self, channels: int, side: int, filters: int, latent: int, norm: str, classes: int = 0) -> None:
        super().__init__()
        inner, doublings = innermost(side)
        self.classes = classes
        self.unflatten = (filters, inner, inner)
        self.project = nn.Linear(latent + classes, filters * inner * inner)
        self.upsample = nn.Sequential(
            *(_up(filters, norm) for _ in range(doublings)),
            normalization(norm, filters),
            nn.ReLU(),
            nn.Conv2d(filters, channels, 3, 1, 1),
            nn.Tanh(),
        )


class Discriminator(nn.Module):
    """Maps images (N, channels, side, side) to scores (N,)."""

    def __init__(self, channels: int, side: int, filters: int, norm: str, classes: int = 0) -> None:
        super().__init__()
        blocks = [_first(channels, filters)]
        while side // 2 > WIDEST:
            side //= 2
            blocks.append(_down(filters, norm))
        blocks += (_plain(filters, norm) for _ in range(PLAIN_BLOCKS))
        self.downsample = nn.Sequential(*blocks, nn.ReLU())
        self.score = Score(filters, classes)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        scores: Tensor = self.score(self.downsample(laid_out(images)).mean((2, 3)), labels)
        return scores


class Block(nn.Module):
    """A residual block: shortcut(x) + residue(x)."""

    def __init__(self, shortcut: nn.Module, *residue: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.residue = shortcut, nn.Sequential(*residue)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.shortcut(x) + self.residue(x)
        return total


def _up(filters: int, norm: str) -> Block:
    """Returns a block that doubles the side."""
    return Block(
        nn.ConvTranspose2d(filters, filters, 1, 2, output_padding=1),
        *(normalization(norm, filters), nn.ReLU(), nn.ConvTranspose2d(filters, filters, 4, 2, 1)),
        *(normalization(norm, filters), nn.ReLU(), nn.Conv2d(filters, filters, 3, 1, 1)),
    )


def _first(channels: int, filters: int) -> Block:
    """Returns the discriminator's first block, which halves the side."""
    return Block(
        nn.Conv2d(channels, filters, 1, 2),
        *(nn.Conv2d(channels, filters, 3, 1, 1), nn.ReLU(), nn.Conv2d(filters, filters, 3, 2, 1)),
    )


def _down(filters: int, norm: str) -> Block:
    """Returns a block that halves the side."""
    return Block(nn.Conv2d(filters, filters, 1, 2), *_two_convolutions(filters, norm, stride=2))


def _plain(filters: int, norm: str) -> Block:
    return Block(nn.Identity(), *_two_convolutions(filters, norm, stride=1))


def _two_convolutions(filters: int, norm: str, stride: int) -> list[nn.Module]:
    return [
        *(normalization(norm, filters), nn.ReLU(), nn.Conv2d(filters, filters, 3, 1, 1)),
        *(normalization(norm, filters), nn.ReLU(), nn.Conv2d(filters, filters, 3, stride, 1)),
    ]
