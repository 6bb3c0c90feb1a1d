"""Image data sets."""

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import together
from hvd_qgenx.vision import torchvision

DATASETS = ("digits", "mnist", "cifar10")


class ImageSet(ABC):
    """Square uint8 images with labels."""

    name: str
    channels: int
    side: int
    classes: int
    """Number of different labels, which count from 0."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """These images, uint8 (n, channels, side, side), and their labels, int64 (n,)."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what the images are."""


class InMemory(ImageSet):
    """Images held in memory."""

    def __init__(self, name: str, images: Tensor, labels: Tensor) -> None:
        self.name, self.images, self.labels = name, images, labels.long()
        self.channels, self.side = images.shape[1], images.shape[2]
        self.classes = int(labels.max()) + 1

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices)
        return self.images[chosen], self.labels[chosen]

    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.numpy().tobytes() + self.labels.numpy().tobytes()).hexdigest()


def load(name: str, data_dir: Path, download: bool, transport: Transport) -> ImageSet:
    """A data set's training images.

    With ``download``, one rank of every host fetches missing data while the others wait.

    Raises:
        ConfigurationError: on all ranks, if the data set is not there on any.
    """
    if name == "digits":
        return _digits()
    if download:
        fetches = transport.local_rank == 0
        together(transport, "download", lambda: _from_torchvision(name, data_dir, True) if fetches else None)
    return together(transport, "data", lambda: _from_torchvision(name, data_dir, False))


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images)
    return InMemory(
        "digits", (images * (255 / 16)).round().to(torch.uint8).unsqueeze(1), torch.from_numpy(digits.target)
    )


def _from_torchvision(name: str, data_dir: Path, download: bool) -> ImageSet:
    datasets = torchvision().datasets
    cls = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            root = _unpacked(data_dir, Path(scratch)) if name == "mnist" and not download else data_dir
            found = cls(str(root), train=True, download=download)
    except (RuntimeError, OSError) as error:
        raise ConfigurationError(
            f"no {name} in {data_dir} ({str(error).splitlines()[0]}); add --download, name its folder with --data-dir, "
            "or take --dataset digits, which needs none"
        ) from error
    data, labels = torch.as_tensor(found.data), torch.as_tensor(found.targets)
    return InMemory(name, data.unsqueeze(1) if data.dim() == 3 else data.permute(0, 3, 1, 2).contiguous(), labels)


def _unpacked(data_dir: Path, scratch: Path) -> Path:
    """Where MNIST's files lie unpacked: ``data_dir``, or ``scratch`` if only the archives are there."""
    packed = sorted((data_dir / "MNIST" / "raw").glob("train-*.gz"))
    if not packed or all(archive.with_suffix("").exists() for archive in packed):
        return data_dir
    raw = scratch / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for archive in packed:
        torchvision().datasets.utils.extract_archive(str(archive), str(raw))
    for absent in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):  # only looked for, not read
        (raw / absent).touch()
    return scratch
