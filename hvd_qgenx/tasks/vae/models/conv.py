"""Convolutions of stride 2 down to maps of at most 4 pixels or of an odd side, and transposed ones back."""

import itertools
from collections.abc import Iterator

from torch import nn

from hvd_qgenx.tasks.vae.models.architecture import Architecture, Shape

HIDDEN = 256
"""Units of the hidden layer between feature maps and codes."""
WIDEST = 4
"""Channels of the innermost maps, over those of the outermost: channels double from map to map up to there."""


def _encoder(shape: Shape) -> nn.Module:
    widths, side = _maps(shape)
    return nn.Sequential(
        *_layers((shape.channels, *widths), nn.Conv2d),
        nn.ReLU(),
        nn.Flatten(),
        *(nn.Linear(widths[-1] * side**2, HIDDEN), nn.ReLU()),
        nn.Linear(HIDDEN, 2 * shape.latent),
    )


def _decoder(shape: Shape) -> nn.Module:
    widths, side = _maps(shape)
    return nn.Sequential(
        *(nn.Linear(shape.latent, HIDDEN), nn.ReLU()),
        *(nn.Linear(HIDDEN, widths[-1] * side**2), nn.ReLU()),
        nn.Unflatten(1, (widths[-1], side, side)),
        *_layers((*reversed(widths), shape.channels), nn.ConvTranspose2d),
    )


def _layers(widths: tuple[int, ...], kind: type[nn.Conv2d] | type[nn.ConvTranspose2d]) -> Iterator[nn.Module]:
    """Yields convolutions from each width to the next, with ReLU between them."""
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        if number:
            yield nn.ReLU()
        yield kind(before, after, kernel_size=4, stride=2, padding=1)


def _maps(shape: Shape) -> tuple[tuple[int, ...], int]:
    """Returns the channels of the feature maps, from the outermost to the innermost, and the side of the innermost."""
    side = shape.side
    widths: list[int] = []
    while side > 4 and side % 2 == 0:
        side //= 2
        widths.append(shape.width * min(2 ** len(widths), WIDEST))
    return tuple(widths), side


conv = Architecture(_encoder, _decoder, smallest=8, multiple=4)
