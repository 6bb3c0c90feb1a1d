"""Images that a saved autoencoder decodes from the prior."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressors.naming import unknown
from compressors.random import generator
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks import pictures
from hvd_qgenx.tasks.sampling import completed
from hvd_qgenx.tasks.vae.models.autoencoder import Autoencoder, prior_codes
from hvd_qgenx.tasks.vae.settings import VaeConfig
from hvd_qgenx.tasks.vae.task import VaeTask, make_model
from hvd_qgenx.training.config import WEIGHTS
from hvd_qgenx.training.single_model.saved import SavedModel

BLOCK = 64
"""Images that are decoded together."""


def sample(run: Path, asked: Mapping[str, Any]) -> str:
    """Draws images; see ``hvd_qgenx.tasks.sampling``."""
    options = completed("vae", asked, weights="raw", **pictures.OPTIONS)
    pictures.check(options)
    if (weights := options["weights"]) not in WEIGHTS:
        raise ConfigurationError(unknown("weights", weights, WEIGHTS))
    saved = SavedModel.read(run, VaeTask, VaeConfig)
    shown = saved.state["images"]
    model = saved.weighted(lambda: make_model(saved.config, shown["channels"], shown["side"]), weights)
    seed = saved.config.seed if options["seed"] is None else options["seed"]
    images = decoded(model, options["count"], seed)
    return pictures.write(images, options, run / "samples" / pictures.name(weights, saved.updates, options))


@torch.inference_mode()
def decoded(model: Autoencoder, count: int, seed: int) -> Tensor:
    """Returns images (count, channels, side, side) in [-1, 1] from the prior; of more, the first are the same."""
    parts = []
    for number, start in enumerate(range(0, count, BLOCK)):
        codes = prior_codes(BLOCK, model.latent, generator(seed, RandomStream.DECODED, number))
        parts.append(model.images(codes[: count - start]))
    return torch.cat(parts)
