"""Start vectors from a file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError


def read(path: Path) -> Tensor:
    """Reads a matrix with a row for every rank, float64 (n, d), from NumPy's .npy or torch's .pt; no code is run.

    Raises:
        ConfigurationError: the file cannot be read, or holds no such matrix of finite numbers.
    """
    if path.suffix not in (".npy", ".pt"):
        raise ConfigurationError(f"{path} is neither gaussian nor a file .npy or .pt")
    try:
        if path.suffix == ".npy":
            found = torch.from_numpy(np.load(path, allow_pickle=False))
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not such a file"
        raise ConfigurationError(f"{path} cannot be read: {reason}") from error
    if not isinstance(found, Tensor) or found.dim() != 2 or not found.numel():
        raise ConfigurationError(f"{path} must hold a matrix with a row for every rank")
    matrix = found.detach().double()
    if not bool(matrix.isfinite().all()):
        raise ConfigurationError(f"{path} holds Inf or NaN")
    return matrix
