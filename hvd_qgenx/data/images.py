"""Sets of images: held in memory, or read from files when they are taken."""

import copy
import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError, LocalError


class ImageSet(ABC):
    """Square uint8 images with labels."""

    name: str
    channels: int
    side: int
    classes: int
    """Number of different labels, which count from 0; 0: there are none, and all labels are 0."""
    labels: Tensor
    """The labels of all images, int64 (len(self),)."""
    in_memory: bool
    """Images are in memory, so prefetching processes are of no use."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Returns these images, uint8 (n, channels, side, side), and their labels, int64 (n,).

        Raises:
            LocalError: an image cannot be read; names its file.
        """

    @abstractmethod
    def scaled(self, side: int) -> "ImageSet":
        """Returns the same images, ``side`` pixels high and wide."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Returns a hash that identifies the images."""


class InMemory(ImageSet):
    """Images held in memory."""

    in_memory = True

    def __init__(self, name: str, images: Tensor, labels: Tensor) -> None:
        self.name, self.images, self.labels = name, images, labels.long()
        self.channels, self.side = images.shape[1], images.shape[2]
        self.classes = int(labels.max()) + 1

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return self.images.index_select(0, chosen), self.labels[chosen]  # index_select copies whole rows

    def scaled(self, side: int) -> "InMemory":
        if side == self.side:
            return self
        images = torch.empty(len(self), self.channels, side, side, dtype=torch.uint8)
        for scaled, image in zip(images, self.images.permute(0, 2, 3, 1).squeeze(-1).numpy(), strict=True):
            scaled.copy_(_square(Image.fromarray(image), side))
        return InMemory(self.name, images, self.labels)

    def fingerprint(self) -> str:
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


class ImageFiles(ImageSet):
    """Images in files, each decoded in colour when it is taken: the largest square in its middle, scaled."""

    channels = 3
    in_memory = False

    def __init__(
        self, name: str, folder: Path, files: Sequence[str], labels: Sequence[int], classes: int, side: int
    ) -> None:
        """
        Args:
            name: name of the set.
            folder: where the files are.
            files: their paths from there.
            labels: one for every file.
            classes: number of different labels; 0 if there are none.
            side: height and width of the images.

        Raises:
            ConfigurationError: a file is missing or empty.
        """
        self.name, self.folder, self.files, self.classes, self.side = name, folder, list(files), classes, side
        self.labels = torch.tensor(labels)
        self._digest = _digest(folder, self.files)

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        images = torch.empty(len(indices), self.channels, self.side, self.side, dtype=torch.uint8)
        for image, index in zip(images, indices, strict=True):
            image.copy_(self._read(self.folder / self.files[index]))
        return images, self.labels[torch.as_tensor(indices, dtype=torch.int64)]

    def scaled(self, side: int) -> "ImageFiles":
        scaled = copy.copy(self)
        scaled.side = side
        return scaled

    def fingerprint(self) -> str:
        """Returns a hash of the files' paths and sizes, and of the side."""
        return f"{self._digest}-{self.side}"

    def _read(self, path: Path) -> Tensor:
        try:
            with Image.open(path) as image:
                if image.mode[0] in "IF":  # Pillow would clip these at 255
                    raise ValueError("more than 8 bits a channel")
                return _square(image.convert("RGB"), self.side)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise LocalError(f"cannot read the image {path} ({error}); repair it or remove it") from error


def _square(image: Image.Image, side: int) -> Tensor:
    """Returns the largest square in the middle, scaled with antialiasing, uint8 (channels, side, side)."""
    pixels = torch.from_numpy(np.array(ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)))
    return pixels.view(side, side, -1).permute(2, 0, 1)


def _digest(folder: Path, files: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            size = (folder / file).stat().st_size
        except OSError as error:
            raise ConfigurationError(
                f"the image {folder / file} is missing ({error.strerror}); fetch it again"
            ) from error
        if not size:
            raise ConfigurationError(f"the image {folder / file} is empty; fetch it again or remove it")
        digest.update(f"{file}\0{size}\0".encode())
    return digest.hexdigest()
