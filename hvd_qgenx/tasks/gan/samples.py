"""Draws images of a saved generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from compressors.naming import shortened
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.data.wording import enumeration
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan.saved import SavedRun

BLOCK = 64
"""Images that are drawn together, as many as a run's own pictures have; the first do not depend on how many follow."""


@torch.inference_mode()
def images(saved: SavedRun, weights: str, count: int, seed: int, classes: Sequence[str] | None) -> Tensor:
    """Returns images of shape (count, channels, side, side), in [-1, 1]; of more images the first are the same.

    Args:
        saved: the run.
        weights: one of ``WEIGHTS``.
        count: how many.
        seed: of the random numbers.
        classes: to take in turn, by name or number; None: as the run draws them.

    Raises:
        ConfigurationError: there are no such weights or classes.
    """
    generator, wanted = saved.generator(weights), None
    if classes is not None:
        wanted = _in_turn(_labels(classes, saved), count)
    parts = []
    for number, start in enumerate(range(0, count, BLOCK)):
        latents, labels = saved.inputs.draw(BLOCK, seed, RandomStream.SAMPLES, *([number] if number else []))
        labels = labels if wanted is None else wanted[start : start + BLOCK]
        size = min(BLOCK, count - start)
        parts.append(generator(latents[:size], None if labels is None else labels[:size]).float())
    return torch.cat(parts)


def _labels(classes: Sequence[str], saved: SavedRun) -> list[int]:
    """Returns the labels of classes, which may be called by a name or, where no class has it for a name, a number."""
    known = saved.inputs.classes
    if not known:
        raise ConfigurationError("the run is not conditional, so its generator takes no classes; leave out --classes")
    names = saved.class_names
    numbers = {str(label): label for label in range(known)} | {name: label for label, name in enumerate(names)}
    for word in classes:
        if word not in numbers:
            by_name = f", or by name: {enumeration(names)}" if names else ""
            raise ConfigurationError(f"there is no class {shortened(word)}; choose from 0 to {known - 1}{by_name}")
    return [numbers[word] for word in classes]


def _in_turn(labels: Sequence[int], count: int) -> Tensor:
    return torch.tensor(labels).repeat(-(-count // len(labels)))[:count]
