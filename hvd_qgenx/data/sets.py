"""Image data sets by name."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hvd_qgenx.data.images import ImageFiles, ImageSet, InMemory
from hvd_qgenx.data.vision import torchvision
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import on_all_ranks, require_same, with_keep_alive

FILES_SIDE = 64
"""Of images that have no size of their own."""


def load(name: str, data_dir: Path, download: bool, transport: Transport, side: int = 0) -> ImageSet:
    """A data set's training images.

    With ``download``, one rank of every host fetches missing data while the others wait.

    Args:
        name: one of ``DATASETS``.
        data_dir: folder of data sets in torchvision's layout; for ``folder``, of one folder of images a class.
        download: fetch what is missing.
        transport: the ranks.
        side: height and width that images are scaled to; 0: their own, or 64 where they differ.

    Raises:
        ConfigurationError: on all ranks, if the data set is not there on any, or is another one on some.
    """

    def read() -> ImageSet:
        found = _from_torchvision(name, data_dir, False) if name != "digits" else _digits()
        return found.scaled(side) if side else found

    if download and name not in ("digits", "folder"):
        fetches = transport.local_rank == 0
        fetch = partial(_from_torchvision, name, data_dir, True) if fetches else lambda: None
        on_all_ranks(transport, "download", lambda: with_keep_alive(transport, "downloading", fetch))
    images = on_all_ranks(transport, "data", read)
    require_same(transport, {f"what {name} holds": f"{len(images)} images ({images.fingerprint()[:12]})"})
    return images


def _digits() -> InMemory:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images)
    return InMemory(
        "digits", (images * (255 / 16)).round().to(torch.uint8).unsqueeze(1), torch.from_numpy(digits.target)
    )


def _from_torchvision(name: str, data_dir: Path, download: bool) -> ImageSet:
    read, advice = _READERS[name]
    try:
        return read(name, data_dir, download)
    except ConfigurationError:
        raise
    except Exception as error:  # damaged files and failed downloads have many
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigurationError(f"no {name} in {data_dir} ({reason}); {advice}") from error


def _cifar10(name: str, data_dir: Path, download: bool) -> ImageSet:
    found = torchvision().datasets.CIFAR10(str(data_dir), train=True, download=download)
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
    return InMemory(name, images, torch.tensor(found.targets))


def _mnist(name: str, data_dir: Path, download: bool) -> ImageSet:
    return _idx(torchvision().datasets.MNIST, name, data_dir, download)


def _fashion_mnist(name: str, data_dir: Path, download: bool) -> ImageSet:
    return _idx(torchvision().datasets.FashionMNIST, name, data_dir, download)


def _idx(cls: Any, name: str, data_dir: Path, download: bool) -> ImageSet:
    with tempfile.TemporaryDirectory() as scratch:
        root = data_dir if download else _unpacked(data_dir, cls.__name__, Path(scratch))
        found = cls(str(root), train=True, download=download)
    return InMemory(name, found.data.unsqueeze(1), found.targets)


def _unpacked(data_dir: Path, folder: str, scratch: Path) -> Path:
    """Where the files of MNIST's kin lie unpacked: ``data_dir``, or ``scratch`` if only the archives are there."""
    packed = sorted((data_dir / folder / "raw").glob("train-*.gz"))
    if not packed or all(archive.with_suffix("").exists() for archive in packed):
        return data_dir
    raw = scratch / folder / "raw"
    raw.mkdir(parents=True)
    for archive in packed:
        torchvision().datasets.utils.extract_archive(str(archive), str(raw))
    for absent in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):  # only looked for, not read
        (raw / absent).touch()
    return scratch


def _celeba(name: str, data_dir: Path, download: bool) -> ImageSet:
    celeba = torchvision().datasets.CelebA
    if download:
        celeba(str(data_dir), download=True)
    folder = data_dir / celeba.base_folder
    # torchvision itself would parse all of CelebA's lists, which takes 20 s and 0.9 GB in every rank
    words = (folder / "list_eval_partition.txt").read_text().split()
    files = [file for file, part in zip(words[::2], words[1::2], strict=True) if part == "0"]
    return ImageFiles(name, folder / "img_align_celeba", files, [0] * len(files), classes=0, side=FILES_SIDE)


def _folder(name: str, data_dir: Path, _: bool) -> ImageSet:
    found = torchvision().datasets.ImageFolder(str(data_dir))
    files, labels = zip(*found.samples, strict=True)
    relative = [Path(file).relative_to(data_dir).as_posix() for file in files]
    return ImageFiles(name, data_dir, relative, labels, len(found.classes), FILES_SIDE)


_ELSE = "name its folder with --data-dir, or take --dataset digits, which needs none"
_READERS: dict[str, tuple[Callable[[str, Path, bool], ImageSet], str]] = {
    "mnist": (_mnist, f"add --download, {_ELSE}"),
    "fashion-mnist": (_fashion_mnist, f"add --download, {_ELSE}"),
    "cifar10": (_cifar10, f"add --download, {_ELSE}"),
    "celeba": (
        _celeba,
        "add --download, which needs the package gdown and Google Drive's leave; where either fails, unpack "
        f"img_align_celeba.zip in celeba/ there and put list_eval_partition.txt beside it; {_ELSE}",
    ),
    "folder": (_folder, "name with --data-dir a folder that holds a folder of images for every class"),
}
"""How to read each data set, and what to do where it is missing."""

DATASETS = ("digits", *_READERS)
