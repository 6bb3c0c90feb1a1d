"""A small classifier trained on the real images, for data sets without a published feature extractor."""

import itertools
import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from compressors.random import generator
from hvd_qgenx.data.cache import Cached
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.progress import progress_bar
from hvd_qgenx.scores.extractor import Extractor, Features, Images, fingerprint
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0

VERSION = 1
"""Version of the network and its training; part of the cache's key."""
DIMENSIONS = 64
"""Width of the last hidden layer."""
WIDTHS = (16, 32, 64)
UPDATES, BATCH, RATE = 1000, 64, 2e-3
UPDATES_BETWEEN_MEETINGS = 50
WEIGHTS, ORDER = 0, 1
"""Random streams."""


class Network(nn.Module):
    """Three convolutions, two of stride 2, and a hidden layer; maps uint8 images to hidden values and logits."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for narrow, wide, stride in zip((channels, *WIDTHS), WIDTHS, (1, 2, 2), strict=False):
            layers += [nn.Conv2d(narrow, wide, 3, stride, 1), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(WIDTHS[-1] * math.ceil(side / 4) ** 2, DIMENSIONS)
        self.classes = nn.Linear(DIMENSIONS, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.convolutions(images.float() / 127.5 - 1)
        features = F.leaky_relu(self.hidden(maps.flatten(1)), 0.1)
        return features, self.classes(features)


class Classifier(Extractor):
    """Features from the last hidden layer of a network trained to classify the real images."""

    def __init__(self, images: Images, weights: Mapping[str, Tensor], device: torch.device) -> None:
        network = _empty(images)
        network.load_state_dict(weights, assign=True)
        super().__init__(f"{images.name}_classifier", network, fingerprint(weights), DIMENSIONS, device)

    def _extract(self, images: Tensor) -> Features:
        return Features(*self._network(images))


def make(images: Images, transport: Transport, device: torch.device) -> Classifier:
    """Returns a classifier trained by rank 0 on its CPU, or read from its cache; the same on all ranks. Collective.

    Raises:
        ConfigurationError: the images have no labels.
    """
    if images.classes < 2:
        raise ConfigurationError(f"{images.name} has no classes to train a classifier on; choose --features inception")

    def look_up() -> dict[str, Tensor] | None:
        return _file(images).read()

    weights = from_rank_0(transport, "classifier", look_up)
    if weights is None:
        trained = _train(images, transport)
        if transport.rank == 0:
            _file(images).write(trained)
        weights = from_rank_0(transport, "classifier", lambda: trained)
    return Classifier(images, weights, device)


def _file(images: Images) -> Cached:
    return Cached("classifiers", images.name, {"version": VERSION, "images": images.fingerprint()})


def _train(images: Images, transport: Transport) -> dict[str, Tensor]:
    """Trains on rank 0, by Adam with a linearly decaying rate.

    The other ranks join a collective every few updates, so that Horovod does not take them for stalled.
    """
    network = _empty(images).to_empty(device="cpu")
    _initialize(network)
    batches = _batches(len(images))
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    with (
        progress_bar(UPDATES, f"classifier of {images.name}", "update", shown=transport.rank == 0) as bar,
        torch.enable_grad(),
    ):
        for update in range(UPDATES):
            if update % UPDATES_BETWEEN_MEETINGS == 0:
                transport.all_gather_object(None, "classifier-training")
            if transport.rank == 0:
                batch, labels = images.take(next(batches))
                optimizer.param_groups[0]["lr"] = RATE * (1 - update / UPDATES)
                optimizer.zero_grad()
                F.cross_entropy(network(batch)[1], labels).backward()
                optimizer.step()
                bar.update()
    return {name: value.detach() for name, value in network.state_dict().items()}


def _batches(images: int) -> Iterator[list[int]]:
    """Yields endless batches: the permutations of all epochs, concatenated."""
    epochs = (torch.randperm(images, generator=generator(ORDER, epoch)).tolist() for epoch in itertools.count())
    stream = itertools.chain.from_iterable(epochs)
    while True:
        yield list(itertools.islice(stream, BATCH))


def _empty(images: Images) -> Network:
    with torch.device("meta"):
        return Network(images.channels, images.side, images.classes)


def _initialize(network: Network) -> None:
    random = generator(WEIGHTS)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
