"""The scorer of generated images, by a task's configuration."""

from pathlib import Path

import torch

from hvd_qgenx.data import ImageSet
from hvd_qgenx.scores import Scorer, make_extractor
from hvd_qgenx.tasks.images import FeatureConfig
from hvd_qgenx.transport import Transport

EXTRACTOR = "extractor"
"""The key of config.json for the extractor of scores, which ``features`` may leave open."""


def make_scorer(
    config: FeatureConfig,
    images: ImageSet,
    transport: Transport,
    device: torch.device,
    download: bool,
    *,
    samples: int,
    flip: bool = False,
    features: str | None = None,
) -> Scorer:
    """Returns a scorer by the configuration. Collective.

    Args:
        config: names the extractor of features and the places of its weights.
        images: the real ones.
        transport: of the ranks.
        device: where features are extracted.
        download: fetch what is missing.
        samples: number of generated images.
        flip: use the real images in both orientations.
        features: replaces the configuration's own, if given.

    Raises:
        ConfigurationError: on all ranks, if weights are missing or do not suit the images.
    """
    extractor = make_extractor(
        features or config.features,
        images,
        transport=transport,
        device=device,
        data_dir=config.data_folder,
        inception_weights=Path(config.inception_weights) if config.inception_weights else None,
        download=download,
    )
    return Scorer(extractor, images, transport, samples, flip=flip)
