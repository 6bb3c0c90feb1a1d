"""The Fréchet distance of images decoded from the prior."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from compressors.random import generator
from hvd_qgenx.data import ImageSet
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.runs.figures import to_bytes
from hvd_qgenx.scores import Scorer
from hvd_qgenx.tasks.scoring import make_scorer
from hvd_qgenx.tasks.vae.models.autoencoder import Autoencoder, prior_codes
from hvd_qgenx.tasks.vae.settings import VaeConfig
from hvd_qgenx.transport import Transport


def scorer_of(
    config: VaeConfig,
    images: ImageSet,
    device: torch.device,
    transport: Transport,
    download: bool,
    features: str | None = None,
) -> Scorer | None:
    """Returns the scorer that the configuration asks for, if it does; see ``make_scorer``. Collective."""
    if not config.frechet_samples:
        return None
    samples = config.frechet_samples
    return make_scorer(config, images, transport, device, download, samples=samples, features=features)


def images_of(model: nn.Module, seed: int) -> Callable[[range], Tensor]:
    """Returns a function that makes the images of a range of sample numbers, uint8 (n, channels, side, side).

    They are the means of the pixels, a function of weights, seed and range alone, on any rank.
    """
    decoder = cast("Autoencoder", model)
    device = next(model.parameters()).device

    @torch.inference_mode()
    def make(samples: range) -> Tensor:
        codes = prior_codes(len(samples), decoder.latent, generator(seed, RandomStream.SCORE, samples.start))
        return to_bytes(decoder.images(codes.to(device)))

    return make
