"""Readers of the data sets in ``registry.DATASETS``."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hvd_qgenx.data import bundled
from hvd_qgenx.data.folders import class_folders, list_folder
from hvd_qgenx.data.images import ImageFiles, ImageSet, InMemory
from hvd_qgenx.data.vision import torchvision
from hvd_qgenx.errors import ConfigurationError

FILES_SIDE = 64
"""Height and width of images that have no size of their own."""
TEST_FOLDERS = ("test", "val", "valid")
"""Names of the folder of test images; the first one that exists counts."""

Part = Literal["all", "train", "test"]
"""The part of a data set to read.

``train`` and ``test`` are the publishers' parts, or defined here for a set that comes in one piece. ``all`` is
everything to train on if nothing is tested: ``train``, or the whole of a set in one piece.
"""


@dataclass(frozen=True)
class Source:
    """How to read a data set.

    Attributes:
        read: reads a part of it; takes the data set's name, the folder of data sets, the part, and whether to download
            missing files.
        advice: what to do if the data set is missing.
        downloads: whether it can be downloaded.
        folder: name of its own folder in the folder of data sets; empty: it has none.
    """

    read: Callable[[str, Path, Part, bool], ImageSet]
    advice: str
    downloads: bool = False
    folder: str = ""


def _digits(name: str, _folder: Path, part: Part, _download: bool) -> ImageSet:
    """Scikit-learn's digits; every fifth image of each class is for testing."""
    rows = torch.from_numpy(bundled.read("digits.csv.gz"))
    images = (rows[:, :-1].view(-1, 1, 8, 8) * (255 / 16)).round().to(torch.uint8)
    labels = rows[:, -1].long()
    if part != "all":
        chosen = _every_fifth(labels) == (part == "test")
        images, labels = images[chosen], labels[chosen]
    return InMemory(name, images, labels)


def _every_fifth(labels: Tensor) -> Tensor:
    """Marks the 5th, 10th, ... sample of each class, bool (n,)."""
    number_in_class = torch.nn.functional.one_hot(labels).cumsum(0).gather(1, labels[:, None]).squeeze(1)
    return number_in_class % 5 == 0


def _cifar(dataset: str) -> Callable[[str, Path, Part, bool], ImageSet]:
    def read(name: str, data_dir: Path, part: Part, download: bool) -> ImageSet:
        kind = getattr(torchvision().datasets, dataset)
        try:
            found = kind(str(data_dir), train=part != "test", download=download)
        except RuntimeError as error:
            raise RuntimeError(_broken(kind, data_dir) or str(error)) from error
        images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
        return InMemory(name, images, torch.tensor(found.targets), found.classes)

    return read


def _broken(kind: Any, data_dir: Path) -> str | None:
    """Returns which file of CIFAR is missing or damaged, of which torchvision says only that there is one."""
    folder = data_dir / kind.base_folder
    if not folder.is_dir():
        return None
    files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
    for name, checksum in files:
        if not (folder / name).exists():
            return f"{folder / name} is missing"
        if not torchvision().datasets.utils.check_integrity(str(folder / name), checksum):
            return f"{folder / name} is damaged"
    return None


def _svhn(name: str, data_dir: Path, part: Part, download: bool) -> ImageSet:
    split = "test" if part == "test" else "train"
    found = torchvision().datasets.SVHN(str(data_dir), split=split, download=download)
    return InMemory(name, torch.from_numpy(found.data).contiguous(), torch.from_numpy(found.labels))


def _idx(dataset: str, named: bool = False) -> Callable[[str, Path, Part, bool], ImageSet]:
    """MNIST and data sets in its file format, with names for classes or their numbers alone."""

    def read(name: str, data_dir: Path, part: Part, download: bool) -> ImageSet:
        with tempfile.TemporaryDirectory() as scratch:
            root = data_dir if download else _unpacked(data_dir, dataset, part, Path(scratch))
            found = getattr(torchvision().datasets, dataset)(str(root), train=part != "test", download=download)
        return InMemory(name, found.data.unsqueeze(1), found.targets, found.classes if named else ())

    return read


def _unpacked(data_dir: Path, dataset: str, part: Part, scratch: Path) -> Path:
    """Returns a folder with the part's files unpacked: ``data_dir``, or ``scratch`` if only archives are there."""
    prefixes = ("t10k", "train") if part == "test" else ("train", "t10k")
    packed = sorted((data_dir / dataset / "raw").glob(f"{prefixes[0]}-*.gz"))
    if not packed or all(archive.with_suffix("").exists() for archive in packed):
        return data_dir
    raw = scratch / dataset / "raw"
    raw.mkdir(parents=True)
    for archive in packed:
        torchvision().datasets.utils.extract_archive(str(archive), str(raw))
    for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        (raw / f"{prefixes[1]}-{kind}").touch()  # torchvision looks for the other part too, without reading it
    return scratch


def _celeba(name: str, data_dir: Path, part: Part, download: bool) -> ImageSet:
    celeba = torchvision().datasets.CelebA
    if download:
        celeba(str(data_dir), download=True)
    folder = data_dir / celeba.base_folder
    # torchvision itself would parse all of CelebA's lists, which takes 20 s and 0.9 GB in every rank
    words = (folder / "list_eval_partition.txt").read_text().split()
    wanted = "2" if part == "test" else "0"  # 1 is for validation
    files = [file for file, code in zip(words[::2], words[1::2], strict=True) if code == wanted]
    return ImageFiles(name, folder / "img_align_celeba", files, [0] * len(files), classes=0, side=FILES_SIDE)


def _folder(name: str, data_dir: Path, part: Part, _download: bool) -> ImageSet:
    folder = data_dir if part == "all" else _part_folders(data_dir)[part]
    found = list_folder(folder)
    return ImageFiles(
        name, folder, found.files, found.labels, len(found.classes), FILES_SIDE, found.classes, found.skipped
    )


def _part_folders(data_dir: Path) -> dict[Part, Path]:
    """Returns the folders of training and of test images.

    Raises:
        ConfigurationError: one is missing, or their classes differ.
    """
    train = data_dir / "train"
    test = next((data_dir / each for each in TEST_FOLDERS if (data_dir / each).is_dir()), None)
    if test is None or not train.is_dir():
        raise ConfigurationError(
            f"{data_dir} does not separate training images from test images; "
            f"put them into train/CLASS/* and test/CLASS/* there (or {' or '.join(TEST_FOLDERS[1:])} in place of test)"
        )
    if different := set(class_folders(train)) ^ set(class_folders(test)):
        raise ConfigurationError(
            f"{train} and {test} have different classes (not in both: {', '.join(sorted(different))}); "
            "give both the same class folders"
        )
    return {"train": train, "test": test}


_ELSE = "name its folder with --data-dir, or use --dataset digits, which needs none"
ADD = "add --download, "
"""Begins the advice on a data set that can be downloaded."""
_DOWNLOAD = f"{ADD}{_ELSE}"

DIGITS = Source(_digits, "reinstall scikit-learn, which contains it")
MNIST = Source(_idx("MNIST"), _DOWNLOAD, downloads=True, folder="MNIST")
FASHION_MNIST = Source(_idx("FashionMNIST", named=True), _DOWNLOAD, downloads=True, folder="FashionMNIST")
CIFAR10 = Source(_cifar("CIFAR10"), _DOWNLOAD, downloads=True, folder="cifar-10-batches-py")
CIFAR100 = Source(_cifar("CIFAR100"), _DOWNLOAD, downloads=True, folder="cifar-100-python")
SVHN = Source(_svhn, _DOWNLOAD, downloads=True)
CELEBA = Source(
    _celeba,
    f"{ADD}install the package gdown if it is missing, or, where Google Drive refuses, unpack img_align_celeba.zip in "
    f"celeba/ there and put list_eval_partition.txt beside it; {_ELSE}",
    downloads=True,
    folder="celeba",
)
FOLDER = Source(_folder, "name with --data-dir a folder that holds a folder of images for every class")
