"""Sets of images that tests score, and an extractor that takes no time."""

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hvd_qgenx.scores.extractor import Extractor, Features, fingerprint

CPU = torch.device("cpu")


class Pictures:
    """Images and labels in memory."""

    def __init__(self, name: str, images: Tensor, labels: Tensor, classes: int = 10) -> None:
        self.name, self.images, self.labels, self.classes = name, images, labels, classes
        self.channels, self.side = images.shape[1], images.shape[2]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self.images[list(indices)], self.labels[list(indices)]

    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()

    def part(self, start: int, stop: int) -> "Pictures":
        return Pictures(self.name, self.images[start:stop], self.labels[start:stop], self.classes)


def digits() -> Pictures:
    """All 1797 of scikit-learn's."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (torch.from_numpy(found.images) * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    return Pictures("digits", images, torch.from_numpy(found.target).long())


def noise(count: int, channels: int, side: int, seed: int = 0, classes: int = 10) -> Pictures:
    """Random pixels, brighter on the left."""
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, channels, side, side, generator=random) * torch.linspace(255, 100, side)
    return Pictures("noise", images.to(torch.uint8), torch.arange(count) % max(classes, 1), classes)


def generate(pictures: Pictures) -> Callable[[range], Tensor]:
    """A generator whose samples are these images."""
    return lambda numbers: pictures.take(numbers)[0]


class Small(Extractor):
    """One random convolution; counts the images that it sees."""

    def __init__(self, channels: int = 1, name: str = "small", seed: int = 0) -> None:
        random = torch.Generator().manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(channels, 12, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for parameter in network.parameters():
            nn.init.normal_(parameter, generator=random)
        super().__init__(name, network, fingerprint(network.state_dict()), 12, CPU)
        self.seen = 0

    def _extract(self, images: Tensor) -> Features:
        self.seen += len(images)
        features = self._network(images.float() / 255)
        return Features(features, 3 * features[:, :5])
