"""Sets of images: held in memory, or read from files when they are taken."""

import copy
import functools
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor

from hvd_qgenx.arrays import UnreadableError
from hvd_qgenx.data.decoding import decoded, square, without_warnings
from hvd_qgenx.data.wording import counted, enumeration
from hvd_qgenx.errors import LocalError


class ImageSet(ABC):
    """Square uint8 images with labels."""

    name: str
    channels: int
    side: int
    classes: int
    """Number of different labels, which count from 0; 0: there are none, and all labels are 0."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, in the order of their labels; empty if they have none but their numbers."""
    labels: Tensor
    """The labels of all images, int64 (len(self),)."""
    skipped: Mapping[str, int] = MappingProxyType({})
    """Number of other files beside those of the images, by kind."""
    damaged: tuple[str, ...] = ()
    """Files that are left out because they cannot be read."""
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

    @property
    def manifest(self) -> str:
        """A line with checksum and name for every image's file; empty if the images are not in files of their own."""
        return ""

    def describe(self) -> str:
        """Returns how many images there are, of what classes, for people."""
        names = self.class_names or tuple(map(str, range(self.classes)))
        classes = f" in {counted(self.classes, 'class', 'classes')}: {enumeration(names)}" if self.classes else ""
        return f"{counted(len(self), 'image')}{classes}"


class InMemory(ImageSet):
    """Images held in memory."""

    in_memory = True

    def __init__(self, name: str, images: Tensor, labels: Tensor, class_names: Sequence[str] = ()) -> None:
        self.name, self.images, self.labels, self.class_names = name, images, labels.long(), tuple(class_names)
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
            scaled.copy_(square(Image.fromarray(image), side))
        return InMemory(self.name, images, self.labels, self.class_names)

    def fingerprint(self) -> str:
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


class ImageFiles(ImageSet):
    """Images in files, each decoded in colour when it is taken: the largest square in its middle, scaled.

    Attributes:
        folder: where the files are.
        files: their paths from there.
        stamps: size and time of the last change of every file, int64 (len(self), 2); the size of none is -1.
    """

    channels = 3
    in_memory = False

    def __init__(
        self,
        name: str,
        folder: Path,
        files: Sequence[str],
        labels: Sequence[int],
        classes: int,
        side: int,
        class_names: Sequence[str] = (),
        skipped: Mapping[str, int] | None = None,
    ) -> None:
        """
        Args:
            name: name of the set.
            folder: where the files are.
            files: their paths from there.
            labels: one for every file.
            classes: number of different labels; 0 if there are none.
            side: height and width of the images.
            class_names: names of the classes; empty if they have none but their numbers.
            skipped: number of other files in the folder, by kind.
        """
        self.name, self.folder, self.files, self.classes, self.side = name, folder, list(files), classes, side
        self.class_names = tuple(class_names)
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self.skipped = skipped or {}
        stamps = [_stamp(os.path.join(folder, file)) for file in self.files]
        self.stamps = torch.tensor(stamps, dtype=torch.int64).view(-1, 2)
        self._checksums: Tensor | None = None

    def __len__(self) -> int:
        return len(self.files)

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        images = torch.empty(len(indices), self.channels, self.side, self.side, dtype=torch.uint8)
        with without_warnings():
            for image, index in zip(images, indices, strict=True):
                image.copy_(self._read(self.folder / self.files[index]))
        return images, self.labels[torch.as_tensor(indices, dtype=torch.int64)]

    def scaled(self, side: int) -> "ImageFiles":
        scaled = copy.copy(self)
        scaled.side = side
        return scaled

    def checked(self, checksums: Tensor, damaged: Sequence[int]) -> "ImageFiles":
        """Returns the images without the damaged ones.

        Args:
            checksums: of the contents of all files, int64 (len(self),).
            damaged: indices of those that cannot be read.
        """
        left_out = set(damaged)
        kept = [index for index in range(len(self)) if index not in left_out]
        found = copy.copy(self)
        vars(found).pop("manifest", None)
        found.files = [self.files[index] for index in kept]
        found.damaged = tuple(self.files[index] for index in damaged)
        found.labels, found.stamps, found._checksums = (each[kept] for each in (self.labels, self.stamps, checksums))
        return found

    def fingerprint(self) -> str:
        """Returns a hash of the files' paths, of their contents (of their sizes before a check), and of the side."""
        return f"{hashlib.sha256(self.manifest.encode(errors='surrogateescape')).hexdigest()}-{self.side}"

    @functools.cached_property
    def manifest(self) -> str:
        known = self.stamps[:, 0] if self._checksums is None else self._checksums
        lines = (f"{number} {file}" for number, file in zip(known.tolist(), self.files, strict=True))
        return "\0".join(lines)  # the one character that no name has

    def describe(self) -> str:
        """Returns how many images there are, of what classes, and what is left out, for people."""
        skipped = ", ".join(f"{count:,} {kind}" if count > 1 else kind for kind, count in self.skipped.items())
        rest = f"; {counted(sum(self.skipped.values()), 'file')} skipped ({skipped})" if skipped else ""
        damaged = f"; {counted(len(self.damaged), 'damaged image')} left out" if self.damaged else ""
        return f"{super().describe()}{rest}{damaged}"

    def _read(self, path: Path) -> Tensor:
        try:
            return square(decoded(path), self.side)
        except UnreadableError as error:
            raise LocalError(
                f"cannot read the image {path} ({error}); repair it, or remove it and add --changed-data, "
                "and go on with --resume"
            ) from error


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns
