"""Chooses the feature extractor for a data set."""

from pathlib import Path

import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores import classifier, inception, resnet
from hvd_qgenx.scores.extractor import Extractor, Images
from hvd_qgenx.scores.registry import EXTRACTORS
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, on_all_ranks


def make_extractor(
    name: str,
    images: Images,
    *,
    transport: Transport,
    device: torch.device,
    data_dir: Path,
    inception_weights: Path | None = None,
    download: bool = False,
) -> Extractor:
    """Returns the extractor of this name, with rank 0's weights on all ranks. Collective.

    ``auto`` means ``inception`` if its weights are given. Otherwise grey images get ``classifier``, and others the
    first whose weights rank 0 has: ``inception`` or, for 3x32x32, ``resnet56``. Missing weights are downloaded if
    ``download`` is set. The name of a made extractor is accepted too, and makes the same one.

    Raises:
        ConfigurationError: on all ranks, if weights are missing or damaged, or the images do not suit the extractor.
    """

    def choose() -> str:
        return _auto(images, data_dir, inception_weights, download) if name == "auto" else name

    chosen = from_rank_0(transport, "extractor", choose)
    if chosen in ("classifier", f"{images.name}_classifier"):
        return classifier.make(images, transport, device)
    if chosen == "resnet56":
        if not resnet.takes(images):
            raise ConfigurationError(
                f"the extractor resnet56 takes images of 3x32x32, not the {_size(images)} of {images.name}; "
                "choose --features inception or classifier"
            )
        weights = from_rank_0(transport, "resnet56-weights", lambda: resnet.load(data_dir, download))
        return resnet.ResNet56(weights, device)
    if chosen == "inception":
        weights = from_rank_0(transport, "inception-weights", lambda: inception.load(inception_weights, download))
        return on_all_ranks(transport, "inception", lambda: inception.Inception(weights, device))
    raise ConfigurationError(f"there is no extractor {name}; choose --features {', '.join(EXTRACTORS)}")


def _auto(images: Images, data_dir: Path, inception_weights: Path | None, download: bool) -> str:
    if inception_weights:
        return "inception"
    if images.channels == 1 and images.classes > 1:
        return "classifier"
    if inception.installed() and inception.find(None):
        return "inception"
    if resnet.takes(images) and (resnet.find(data_dir) or (download and not inception.installed())):
        return "resnet56"
    if download:
        return "inception"
    raise ConfigurationError(
        f"there are no weights of a feature extractor for {images.name} ({_size(images)}); add --download, "
        f"name Inception's with --inception-weights FILE ({inception.URL})"
        + (f", or put {resnet.FILE} into {data_dir} ({resnet.URL})" if resnet.takes(images) else "")
        + (", or give --features classifier, which is trained on the images" if images.classes > 1 else "")
    )


def _size(images: Images) -> str:
    return f"{images.channels}x{images.side}x{images.side}"
