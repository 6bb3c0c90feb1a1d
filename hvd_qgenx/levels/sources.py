"""Vectors to fit levels to: drawn from a named distribution, or gradients saved from a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError

COORDINATES = 1 << 20
"""How many are drawn."""

Draw = Callable[[np.random.Generator, int], Any]

DISTRIBUTIONS: dict[str, Draw] = {
    "gaussian": lambda random, n: random.standard_normal(n),
    "laplace": lambda random, n: random.laplace(size=n),
    "student-t": lambda random, n: random.standard_t(3, n),
    "uniform": lambda random, n: random.uniform(-1, 1, n),
}
"""By name; Student's t has 3 degrees of freedom."""


def draw(name: str, seed: int) -> Tensor:
    """A float32 vector of COORDINATES independent values."""
    values = DISTRIBUTIONS[name](np.random.default_rng(seed), COORDINATES)
    return torch.from_numpy(values.astype(np.float32))


def read(path: Path) -> Tensor:
    """The tensors in a file, laid end to end: a flat float32 vector. Raises as ``read_tensors`` does."""
    return torch.cat([tensor.flatten() for tensor in read_tensors(path).values()])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The float32 tensors in a .npy or .pt file by name; a single one has the name "".

    Raises:
        ConfigurationError: there is no such file, or no finite numbers, or nothing but zeros in it.
    """
    found = _load(path)
    tensors = found if isinstance(found, dict) else {"": found}
    if not all(isinstance(tensor, Tensor) and tensor.is_floating_point() for tensor in tensors.values()):
        raise ConfigurationError(f"{path} must hold floating-point tensors: one, or a dictionary of them by name")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ConfigurationError(f"{path} holds Inf or NaN; levels are fitted to finite gradients")
    if not any(tensor.any() for tensor in tensors.values()):
        raise ConfigurationError(f"{path} holds nothing but zeros")
    return {str(name): tensor.float() for name, tensor in tensors.items()}


def _load(path: Path) -> Any:
    if path.suffix not in (".npy", ".pt"):
        raise ConfigurationError(f"{path}: gradients are read from .pt and .npy files only")
    try:
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path}") from None
    except Exception as error:  # a damaged file raises almost anything
        raise ConfigurationError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
