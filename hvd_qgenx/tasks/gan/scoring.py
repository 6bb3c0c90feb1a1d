"""Scores generators."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.runs.figures import to_bytes
from hvd_qgenx.scores import Scorer
from hvd_qgenx.tasks.gan.generation import Inputs
from hvd_qgenx.tasks.gan.settings import GanConfig


def images_of(generator: nn.Module, inputs: Inputs, seed: int) -> Callable[[range], Tensor]:
    """Returns a function that makes the images of a range of sample numbers, uint8 (n, channels, side, side).

    The generator must be in evaluation mode. The images are a function of weights, seed and range alone, on any rank.
    """
    device = next(generator.parameters()).device

    @torch.inference_mode()
    def make(samples: range) -> Tensor:
        latents, labels = inputs.draw(len(samples), seed, RandomStream.SCORE, samples.start, device=device)
        return to_bytes(generator(latents, labels))

    return make


def score(scorer: Scorer, generators: dict[str, nn.Module], inputs: Inputs, seed: int) -> dict[str, float]:
    """Returns the scores of several generators, as ``score/weights``; the same on all ranks. Collective."""
    found = {}
    for weights, generator in generators.items():
        for name, value in scorer.score(images_of(generator, inputs, seed)).items():
            found[f"{name}/{weights}"] = value
    return found | {f"bias/{name}": value for name, value in scorer.bias.items()}


def sampled(config: GanConfig) -> dict[str, Any]:
    """Returns how many images are scored, and whether the real ones are mirrored too, for ``make_scorer``."""
    return {"samples": config.score_samples, "flip": config.augmentation == "flip"}
