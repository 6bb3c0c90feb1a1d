"""Draws images of a saved generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan.saved import SavedRun

BLOCK = 64
"""Images that are drawn together, as many as a run's own pictures have; the first do not depend on how many follow."""


@torch.inference_mode()
def images(saved: SavedRun, weights: str, count: int, seed: int, classes: Sequence[int] | None) -> Tensor:
    """Returns images of shape (count, channels, side, side), in [-1, 1]; of more images the first are the same."""
    generator, wanted = saved.generator(weights), None
    if classes is not None:
        wanted = _in_turn(classes, count, saved.inputs.classes)
    parts = []
    for number, start in enumerate(range(0, count, BLOCK)):
        latents, labels = saved.inputs.draw(BLOCK, seed, RandomStream.SAMPLES, *([number] if number else []))
        labels = labels if wanted is None else wanted[start : start + BLOCK]
        size = min(BLOCK, count - start)
        parts.append(generator(latents[:size], None if labels is None else labels[:size]).float())
    return torch.cat(parts)


def _in_turn(classes: Sequence[int], count: int, known: int) -> Tensor:
    if not known:
        raise ConfigurationError("the run is not conditional, so its generator takes no classes; leave out --classes")
    for label in classes:
        if not 0 <= label < known:
            raise ConfigurationError(f"there is no class {label}; choose from 0 to {known - 1}")
    return torch.tensor(classes).repeat(-(-count // len(classes)))[:count]
