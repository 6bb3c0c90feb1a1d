"""torch-fidelity's Inception v3, the network of FID, KID and the Inception score."""

import importlib
import importlib.util
import io
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from hvd_qgenx.data import vision
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores.extractor import Extractor, Features, fingerprint
from hvd_qgenx.scores.weights import fetch, read

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
LAYERS = ("2048", "logits_unbiased")
"""The layer for FID and KID, and the one for the Inception score."""


class Inception(Extractor):
    """Inception features of images of any size; grey images get three equal channels. torch-fidelity resizes them."""

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        """
        Args:
            weights: by torch-fidelity's names.
            device: where the network runs.

        Raises:
            ConfigurationError: torch-fidelity is not installed, or the weights are not Inception's.
        """
        make = fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3
        file = io.BytesIO()  # the network loads its weights from a file
        torch.save(weights, file)
        file.seek(0)
        try:
            with _NoDraws():
                network = make("inception", list(LAYERS), feature_extractor_weights_path=file)
        except RuntimeError as error:
            raise ConfigurationError(
                f"the Inception weights do not fit torch-fidelity's network; fetch {URL}"
            ) from error
        super().__init__("inception", network, fingerprint(weights), int(LAYERS[0]), device)

    def _extract(self, images: Tensor) -> Features:
        return Features(*self._network(images.expand(-1, 3, -1, -1)))


def find(given: Path | None) -> Path | None:
    """Returns the file of weights, given or in torch hub's cache; None if it does not exist."""
    path = given or cached()
    return path if path.is_file() else None


def load(given: Path | None, download: bool) -> dict[str, Tensor]:
    """Returns the weights, by torch-fidelity's names.

    Raises:
        ConfigurationError: there are none, the file holds something else, or torch-fidelity is not installed.
    """
    fidelity()
    path = find(given)
    if path is None and download and given is None:
        path = fetch(URL, cached(), "name a copy of the file with --inception-weights FILE")
    if path is None:
        raise ConfigurationError(
            f"no Inception weights at {given or cached()}; add --download, "
            f"or fetch {URL} and name it with --inception-weights FILE"
        )
    return read(path)


def cached() -> Path:
    """Returns the path of the file in torch hub's cache, which torch-fidelity uses too."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE


def installed() -> bool:
    """Returns whether torch-fidelity is installed."""
    return importlib.util.find_spec("torch_fidelity") is not None


def fidelity(module: str = "") -> types.ModuleType:
    """Imports torch-fidelity, or a module of it.

    Raises:
        ConfigurationError: it is not installed.
    """
    vision.torchvision()
    try:
        return importlib.import_module(f"torch_fidelity.{module}".rstrip("."))
    except ImportError as error:
        raise ConfigurationError(
            f"FID needs torch-fidelity ({error}); install it with `pip install '.[scores]'` in the clone, "
            "or choose other --features than inception"
        ) from error


class _NoDraws(TorchFunctionMode):
    """Skips the initialization of new layers, which would draw from torch's global generator."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)
