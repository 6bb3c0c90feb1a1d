"""Scores of a generator."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from hvd_qgenx.data import ImageSet
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.runs.figures import to_bytes
from hvd_qgenx.scores import Scorer, make_extractor
from hvd_qgenx.tasks.gan.generation import draw
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.transport import Transport


def make_scorer(
    config: GanConfig,
    images: ImageSet,
    transport: Transport,
    device: torch.device,
    download: bool,
    features: str | None = None,
) -> Scorer:
    """What scores generators as the configuration says; ``features``, if given, in place of its own. Collective.

    Raises:
        ConfigurationError: on all ranks, if weights are missing or do not suit the images.
    """
    extractor = make_extractor(
        features or config.features,
        images,
        transport=transport,
        device=device,
        data_dir=Path(config.data_dir),
        inception_weights=Path(config.inception_weights) if config.inception_weights else None,
        download=download,
    )
    return Scorer(extractor, images, transport, config.score_samples, flip=config.augmentation == "flip")


def images_of(generator: nn.Module, latent: int, classes: int, seed: int) -> Callable[[range], Tensor]:
    """Makes the images of any sample numbers, uint8 (n, channels, side, side), by a generator in evaluation mode.

    Sample number i is a function of weights, seed and i alone, whoever makes it.
    """
    device = next(generator.parameters()).device

    @torch.inference_mode()
    def make(samples: range) -> Tensor:
        latents, labels = draw(len(samples), latent, classes, seed, RandomStream.SCORE, samples.start, device=device)
        return to_bytes(generator(latents, labels))

    return make


def score(scorer: Scorer, generators: dict[str, nn.Module], latent: int, classes: int, seed: int) -> dict[str, float]:
    """Scores of several generators, as ``score/weights``. Collective; the same on all ranks."""
    found = {}
    for weights, generator in generators.items():
        for name, value in scorer.score(images_of(generator, latent, classes, seed)).items():
            found[f"{name}/{weights}"] = value
    return found | {f"bias/{name}": value for name, value in scorer.bias.items()}
