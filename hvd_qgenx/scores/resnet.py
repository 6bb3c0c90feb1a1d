"""ResNet-56 for CIFAR-10 (He et al., CVPR 2016, section 4.2), from public weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores.extractor import Extractor, Features, Images, fingerprint
from hvd_qgenx.scores.weights import fetch, read

FILE = "resnet56-4bfd9763.th"
URL = f"https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/{FILE}"
BLOCKS = 9
"""In each of the three stages: 6 n + 2 layers."""
WIDTHS = (16, 32, 64)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the three channels, as the weights were trained with."""


class Block(nn.Module):
    """Two convolutions, and a shortcut without parameters (option A): every other pixel, new channels zero."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.stride, self.new = wide // narrow, wide - narrow
        self.conv1 = nn.Conv2d(narrow, wide, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)

    def forward(self, x: Tensor) -> Tensor:
        residue = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new // 2))
        return F.relu(residue + x)


class Network(nn.Module):
    """float32 images (n, 3, 32, 32) to the 64 values after average pooling, and the logits of 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2])
        self.linear = nn.Linear(WIDTHS[2], 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.bn1(self.conv1(x)))
        features = self.layer3(self.layer2(self.layer1(x))).mean((2, 3))
        return features, self.linear(features)


class ResNet56(Extractor):
    """The classifier's 64 pooled features, of images of 3x32x32."""

    def __init__(self, weights: Mapping[str, Tensor], device: torch.device) -> None:
        with torch.device("meta"):
            network = Network()
        network.load_state_dict(weights, strict=False, assign=True)
        network.eval()
        _fold(network)
        super().__init__("resnet56", network, fingerprint(weights), WIDTHS[-1], device)
        self._mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
        self._deviation = torch.tensor(DEVIATION, device=device).view(3, 1, 1)

    def _extract(self, images: Tensor) -> Features:
        scaled = (images.float() / 255 - self._mean) / self._deviation
        return Features(*self._network(scaled.contiguous(memory_format=torch.channels_last)))


def takes(images: Images) -> bool:
    """Whether the images have the classifier's size."""
    return (images.channels, images.side) == (3, 32)


def find(data_dir: Path) -> Path | None:
    """Where the weights are, if they are."""
    places = (data_dir / "cifar10-resnet" / FILE, data_dir / FILE)
    return next((place for place in places if place.is_file()), None)


def load(data_dir: Path, download: bool) -> dict[str, Tensor]:
    """The weights, by the names of ``Network``.

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
    """Of the weights in the file, which is older than batch norm's counters."""
    with torch.device("meta"):
        state = Network().state_dict()
    return {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _stage(narrow: int, wide: int) -> nn.Sequential:
    return nn.Sequential(Block(narrow, wide), *(Block(wide, wide) for _ in range(BLOCKS - 1)))


def _fold(network: nn.Module) -> None:
    """Puts every batch norm into the convolution before it."""
    for module in network.modules():
        for number in ("1", "2"):
            convolution, norm = getattr(module, f"conv{number}", None), getattr(module, f"bn{number}", None)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, f"conv{number}", fuse_conv_bn_eval(convolution, norm))
                setattr(module, f"bn{number}", nn.Identity())
