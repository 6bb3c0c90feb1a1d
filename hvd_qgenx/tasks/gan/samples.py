"""Draws images of a saved generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan.generation import draw
from hvd_qgenx.tasks.gan.saved import SavedRun

AT_ONCE = 256
"""Images in one pass of the generator."""


@torch.inference_mode()
def images(saved: SavedRun, weights: str, count: int, seed: int, classes: Sequence[int] | None) -> Tensor:
    """Returns images of shape (count, channels, side, side), in [-1, 1]."""
    generator = saved.generator(weights)
    latents, labels = draw(count, saved.config.latent, saved.classes, seed, RandomStream.SAMPLES)
    if classes is not None:
        labels = _in_turn(classes, count, saved.classes)
    parts = [slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE)]
    return torch.cat([generator(latents[part], None if labels is None else labels[part]).float() for part in parts])


def _in_turn(classes: Sequence[int], count: int, known: int) -> Tensor:
    if not known:
        raise ConfigurationError("the run is not conditional, so its generator takes no classes; leave out --classes")
    for label in classes:
        if not 0 <= label < known:
            raise ConfigurationError(f"there is no class {label}; choose from 0 to {known - 1}")
    return torch.tensor(classes).repeat(-(-count // len(classes)))[:count]
