"""Start vectors from a file."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.levels.sources import load


def read(path: Path) -> Tensor:
    """Reads a matrix with a row for every rank, float64 (n, d), from NumPy's .npy or torch's .pt; no code is run.

    Raises:
        ConfigurationError: the file cannot be read, or holds no such matrix of finite numbers.
    """
    if path.suffix not in (".npy", ".pt"):
        raise ConfigurationError(f"{path} is neither gaussian nor a file .npy or .pt")
    found = load(path)
    if not isinstance(found, Tensor) or found.dim() != 2 or not found.numel():
        raise ConfigurationError(f"{path} must hold a matrix with a row for every rank")
    matrix = found.detach().double()
    if not bool(matrix.square().sum().isfinite()):
        raise ConfigurationError(f"{path} holds Inf or NaN, or numbers whose squares are")
    return matrix
