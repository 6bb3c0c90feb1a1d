"""Feature extractors, whose features distances are computed on."""

import contextlib
import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Images(Protocol):
    """A set of real images, all of one size."""

    name: str
    channels: int
    side: int
    classes: int
    """Number of classes; below 2 where there are no labels."""

    def __len__(self) -> int: ...

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Returns uint8 images, shape (n, channels, side, side), and their int64 labels, shape (n,)."""
        ...

    def fingerprint(self) -> str:
        """Returns a hash of all images and labels."""
        ...


class Features(NamedTuple):
    """An extractor's outputs for n images, on the CPU."""

    features: Tensor
    """float32, shape (n, dimensions)."""
    logits: Tensor | None = None
    """float32, shape (n, classes)."""


class Extractor(ABC):
    """A trained network in evaluation mode, always in float32, whatever precision training uses."""

    def __init__(self, name: str, network: nn.Module, fingerprint: str, dimensions: int, device: torch.device) -> None:
        """
        Args:
            name: part of the names of scores.
            network: moved to ``device`` and frozen.
            fingerprint: a hash of the weights.
            dimensions: number of features of an image.
            device: where the network runs.
        """
        self.name, self.fingerprint, self.dimensions, self.device = name, fingerprint, dimensions, device
        self._network = network.to(device).eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> Features:
        """Returns the features of uint8 images, shape (n, channels, side, side)."""
        with torch.no_grad(), _single_precision(self.device):
            features, logits = self._extract(images.to(self.device))
            return Features(features.cpu(), None if logits is None else logits.cpu())

    @abstractmethod
    def _extract(self, images: Tensor) -> Features: ...


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of the names, types, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name, tensor in weights.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _single_precision(device: torch.device) -> Iterator[None]:
    """Switches off bf16 and TF32, which training may have switched on."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            stack.enter_context(_switches)  # the flags are global to the process
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False))
            before = torch.backends.cuda.matmul.allow_tf32
            torch.backends.cuda.matmul.allow_tf32 = False
            stack.callback(setattr, torch.backends.cuda.matmul, "allow_tf32", before)
        yield


_switches = threading.Lock()
