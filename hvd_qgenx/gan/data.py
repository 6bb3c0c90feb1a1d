"""Image data sets, and the stream of batches that every rank draws its share of."""

import functools
import importlib
import tempfile
import types
from pathlib import Path

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import together

DATASETS = ("digits", "mnist", "cifar10")

# What a number drawn from `generator(seed, PURPOSE, ...)` is for.
ORDER, LATENTS, INTERPOLATION, SAMPLES, GENERATOR, DISCRIMINATOR = range(6)


def load(name: str, data_dir: Path, download: bool, transport: Transport) -> Tensor:
    """All training images as uint8, shape (N, channels, side, side).

    With ``download``, one rank of every host fetches missing data while the others wait.

    Raises:
        ConfigurationError: on all ranks, if the data set is not there on any.
    """
    if name == "digits":
        return _digits()
    if download:
        fetches = transport.local_rank == 0
        together(transport, "download", lambda: _torchvision_images(name, data_dir, True) if fetches else None)
    return together(transport, "data", lambda: _torchvision_images(name, data_dir, False))


def _digits() -> Tensor:
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images)
    return (images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)


def _torchvision_images(name: str, data_dir: Path, download: bool) -> Tensor:
    datasets = torchvision().datasets
    cls = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            root = _unpacked(data_dir, Path(scratch)) if name == "mnist" and not download else data_dir
            data = torch.as_tensor(cls(str(root), train=True, download=download).data)
    except (RuntimeError, OSError) as error:
        raise ConfigurationError(
            f"no {name} in {data_dir} ({str(error).splitlines()[0]}); add --download, name its folder with --data-dir, "
            "or take --dataset digits, which needs none"
        ) from error
    return data.unsqueeze(1) if data.dim() == 3 else data.permute(0, 3, 1, 2).contiguous()


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


def torchvision() -> types.ModuleType:
    """torchvision, also where a build for CUDA stands beside a torch for CPU.

    There its operators are not registered, and declaring them is all that the import lacks.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            _declarations.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return importlib.import_module("torchvision")


_declarations = torch.library.Library("torchvision", "FRAGMENT")  # they last as long as this object


class Batches:
    """The endless stream of batches: a function of the seed and the number of the draw.

    All epochs' permutations are laid end to end; draw number t takes the t-th ``batch_size`` of
    them, and the ranks share each draw without overlap, sizes differing by one at most. So every
    rank sees its own part, every image is drawn once in an epoch, and nothing needs storing to
    resume.
    """

    def __init__(self, images: Tensor, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.first, self.last = batch_size * rank // ranks, batch_size * (rank + 1) // ranks
        self._permutation = functools.lru_cache(maxsize=2)(self._permute)

    def __len__(self) -> int:
        """Number of images in this rank's share of a draw."""
        return self.last - self.first

    def indices(self, draw: int) -> list[int]:
        """The images of this rank in this draw."""
        start = draw * self.batch_size
        places = [divmod(start + i, len(self.images)) for i in range(self.first, self.last)]
        return [int(self._permutation(epoch)[place]) for epoch, place in places]

    def __call__(self, draw: int) -> Tensor:
        """float32 images in [-1, 1], shape (len(self), channels, side, side)."""
        return self.images[self.indices(draw)].float().div_(127.5).sub_(1)

    def _permute(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.images), generator=generator(self.seed, ORDER, epoch))
