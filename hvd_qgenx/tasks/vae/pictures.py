"""The picture of an autoencoder: reconstructions, samples, and what each dimension of a code does."""

from pathlib import Path

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data import ImageSet, normalized
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.runs.figures import Panel, save_panels
from hvd_qgenx.tasks.vae.models.autoencoder import Autoencoder, Posterior, pixel_values, prior_codes

COLUMNS = 15
RECONSTRUCTED, SAMPLED = 2 * COLUMNS, 4 * COLUMNS
DIMENSIONS, REACH = 8, 3.0
"""Dimensions of the code that are traversed, and how far, in standard deviations of the prior."""


@torch.inference_mode()
def draw(model: Autoencoder, test: ImageSet, seed: int, device: torch.device, path: Path) -> None:
    """Writes the picture. Its images and codes are the same at every call.

    Args:
        model: on the device.
        test: test images, of which some are shown, taken evenly from first to last.
        seed: decides the codes of the samples.
        device: of the model.
        path: of the PNG.
    """
    places = torch.linspace(0, len(test) - 1, min(RECONSTRUCTED, len(test))).round().int().tolist()
    images = normalized(test.take(places)[0])
    posterior = model.encode(pixel_values(images).to(device))
    codes = prior_codes(SAMPLED, model.latent, generator(seed, RandomStream.DECODED)).to(device)
    dimensions = most_used(posterior)
    listing = ", ".join(map(str, dimensions))
    panels = [
        Panel(
            "Test images, each above its reconstruction", _pairs(images, model.images(posterior.mean).cpu()), COLUMNS
        ),
        Panel("Samples from the prior", model.images(codes).cpu(), COLUMNS),
        Panel(
            f"The first image, in each row with one dimension of its code from {-REACH:g} to {REACH:g}: {listing}",
            model.images(traversals(posterior.mean[0], dimensions)).cpu(),
            COLUMNS,
        ),
    ]
    save_panels(panels, path)


def most_used(posterior: Posterior) -> list[int]:
    """Returns the dimensions of the code whose divergence from the prior is largest, in falling order."""
    each = posterior.mean.square() + posterior.log_variance.exp() - 1 - posterior.log_variance
    return each.mean(0).argsort(descending=True)[:DIMENSIONS].tolist()


def traversals(code: Tensor, dimensions: list[int]) -> Tensor:
    """Returns codes (rows x COLUMNS, latent): in every row one dimension of ``code`` runs from -REACH to REACH."""
    codes = code.repeat(len(dimensions), COLUMNS, 1)
    for row, dimension in zip(codes, dimensions, strict=True):
        row[:, dimension] = torch.linspace(-REACH, REACH, COLUMNS, device=code.device)
    return codes.flatten(0, 1)


def _pairs(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Returns rows of images, each row followed by that of its reconstructions; white fills the last ones."""
    rows = zip(images.split(COLUMNS), reconstructions.split(COLUMNS), strict=True)
    return torch.cat([_filled(part) for pair in rows for part in pair])


def _filled(row: Tensor) -> Tensor:
    white = row.new_ones(COLUMNS - len(row), *row.shape[1:])
    return torch.cat([row, white])
