"""ResNet-56 for CIFAR-10 (He et al., CVPR 2016, section 4.2), from public weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.nets.cifar_resnet import WIDTHS, CifarResNet
from hvd_qgenx.scores.extractor import Extractor, Features, Images, fingerprint
from hvd_qgenx.scores.weights import fetch, read

FILE = "resnet56-4bfd9763.th"
URL = f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{FILE}"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the three channels that the weights were trained with."""


class ResNet56(Extractor):
    """The 64 pooled features of a ResNet-56 for CIFAR-10; takes images of 3x32x32."""

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        self._classifier = _classifier()
        self._classifier.load_state_dict(weights, strict=False, assign=True)
        self._classifier.eval()
        _fold(self._classifier)
        super().__init__("resnet56", self._classifier, fingerprint(weights), WIDTHS[-1], device)
        self._mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
        self._deviation = torch.tensor(DEVIATION, device=device).view(3, 1, 1)

    def _extract(self, images: Tensor) -> Features:
        scaled = (images.float() / 255 - self._mean) / self._deviation
        features = self._classifier.features(scaled.contiguous(memory_format=torch.channels_last))
        return Features(features, self._classifier.linear(features))


def takes(images: Images) -> bool:
    """Returns whether the images have the classifier's size."""
    return (images.channels, images.side) == (3, 32)


def find(data_dir: Path) -> Path | None:
    """Returns the file of weights in the data folder; None if it does not exist."""
    places = (data_dir / "cifar10-resnet" / FILE, data_dir / FILE)
    return next((place for place in places if place.is_file()), None)


def load(data_dir: Path, download: bool) -> dict[str, Tensor]:
    """Returns the weights, by the names of ``CifarResNet``.

    Raises:
        ConfigurationError: there are none, or the file holds something else.
    """
    path = find(data_dir)
    if path is None and download:
        path = fetch(URL, data_dir / "cifar10-resnet" / FILE, "put the file there by hand")
    if path is None:
        raise ConfigurationError(
            f"no {FILE} in {data_dir} or {data_dir / 'cifar10-resnet'}; add --download, or fetch it from {URL}"
        )
    stored = read(path).get("state_dict")
    weights = {str(name).removeprefix("module."): value for name, value in (stored or {}).items()}
    if {name: value.shape for name, value in weights.items()} != _shapes():
        raise ConfigurationError(f"{path} does not hold the weights of ResNet-56; fetch it again from {URL}")
    return weights


def _shapes() -> dict[str, torch.Size]:
    """Returns the shapes of the weights in the file, which predates batch norm's counters."""
    state = _classifier().state_dict()
    return {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _classifier() -> CifarResNet:
    """Returns the network on the meta device, without memory for its weights."""
    with torch.device("meta"):
        return CifarResNet(56, channels=3, classes=10, norm="batch")


def _fold(network: nn.Module) -> None:
    """Fuses every batch norm with the convolution before it."""
    for module in network.modules():
        for number in ("1", "2"):
            convolution, norm = getattr(module, f"conv{number}", None), getattr(module, f"bn{number}", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, f"conv{number}", fuse_conv_bn_eval(convolution, norm))
                setattr(module, f"bn{number}", nn.Identity())
