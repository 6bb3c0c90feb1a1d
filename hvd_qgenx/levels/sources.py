"""Vectors to fit levels to: drawn from a named distribution, or gradients saved from a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressors import Exempt, MinMax
from compressors.layerwise import kind_of_shape
from hvd_qgenx.arrays import UnreadableError, read_npy, read_torch
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.levels.registry import DISTRIBUTIONS
from hvd_qgenx.optim.layers import groups
from hvd_qgenx.reading import read_json
from hvd_qgenx.runs.folder import LAYERS

COORDINATES = 1 << 20
"""Number of coordinates that are drawn."""
LARGEST = 1 << 30
"""The most bytes of tensors in a file that is shorter than they are, as a sparse or an expanded one is."""

Array = NDArray[np.float64]


def gaussian(random: np.random.Generator, count: int) -> Array:
    return random.standard_normal(count)


def laplace(random: np.random.Generator, count: int) -> Array:
    return random.laplace(size=count)


def student_t(random: np.random.Generator, count: int) -> Array:
    """With 3 degrees of freedom."""
    return random.standard_t(3, count)


def uniform(random: np.random.Generator, count: int) -> Array:
    """From -1 to 1."""
    return random.uniform(-1, 1, count)


def draw(name: str, seed: int) -> Tensor:
    """Returns a float32 vector of COORDINATES independent values.

    Raises:
        ConfigurationError: there is no distribution of this name.
    """
    values = DISTRIBUTIONS[name](np.random.default_rng(seed), COORDINATES)
    return torch.from_numpy(values.astype(np.float32))


def read(path: Path) -> Tensor:
    """Reads the tensors in a file, laid end to end: a flat float32 vector. Raises as ``read_tensors`` does."""
    return torch.cat([tensor.flatten() for tensor in read_tensors(path).values()])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors, as float32, in a .npy or .pt file by name; a single one has the name "".

    Raises:
        ConfigurationError: there is no such file, or no finite numbers, or nothing but zeros in it.
    """
    found = load(path)
    tensors = found if isinstance(found, dict) else {"": found}
    if not tensors or not all(_is_gradient(tensor) for tensor in tensors.values()):
        raise ConfigurationError(f"{path} must hold floating-point tensors: one, or a dictionary of them by name")
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > max(path.stat().st_size, LARGEST):
        raise ConfigurationError(f"{path} describes tensors that are larger than the file; give gradients of a run")
    tensors = {name: _dense(tensor) for name, tensor in tensors.items()}
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise ConfigurationError(f"{path} holds Inf or NaN; levels are fitted to finite gradients")
    if not any(tensor.any() for tensor in tensors.values()):
        raise ConfigurationError(f"{path} holds nothing but zeros")
    return {str(name): tensor.float() for name, tensor in tensors.items()}


def _is_gradient(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.device.type == "cpu"


def _dense(tensor: Tensor) -> Tensor:
    """Returns a sparse tensor, as of an embedding's gradient, with its zeros."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def read_compressible(path: Path, player: str | None = None) -> list[Tensor]:
    """Reads the tensors in a file that a run would compress: not the small ones, unless the file holds one alone.

    Args:
        path: as ``read_tensors`` takes it.
        player: only tensors whose names begin with ``PLAYER.``; None: all.

    Raises:
        ConfigurationError: there are none, or they are zero; or as ``read_tensors`` does.
    """
    return list(_compressible(path, player).values())


def _compressible(path: Path, player: str | None) -> dict[str, Tensor]:
    tensors = read_tensors(path)
    chosen = Exempt(MinMax())
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if (len(tensors) == 1 or chosen.route(tensor.shape) is chosen.inner)
        and (player is None or name.startswith(f"{player}."))
    }
    if not any(tensor.any() for tensor in kept.values()):
        raise ConfigurationError(f"{path} holds no tensor to compress; see --player, or give another file")
    return kept


def read_groups(path: Path, rule: str, player: str | None = None) -> list[tuple[str, Tensor]]:
    """Reads the tensors in a file that a run would compress, each with its group.

    Kinds of layers are those of the file that the run has written beside it, or else follow from the shapes.

    Args:
        path: as ``read_tensors`` takes it.
        rule: as ``layers.groups`` takes it.
        player: as ``read_compressible`` takes it.

    Raises:
        ConfigurationError: there are no such groups, or a tensor is in none; or as ``read_compressible`` does.
    """
    tensors = _compressible(path, player)
    known = read_json(path.parent / LAYERS) if (path.parent / LAYERS).exists() else {}
    if not isinstance(known, dict) or not all(isinstance(kind, str) for kind in known.values()):
        raise ConfigurationError(f"{path.parent / LAYERS} must hold kinds of layers by names of tensors")
    kinds = {name: known.get(name, kind_of_shape(tensor.shape)) for name, tensor in tensors.items()}
    group_of = groups(rule, kinds)
    for name in tensors:
        if name not in group_of:
            raise ConfigurationError(f"levels_by: {name!r} is in none of the groups; add one such as rest=*")
    return [(group_of[name], tensor) for name, tensor in tensors.items()]


def read_ranks(paths: Sequence[Path], player: str | None = None) -> list[list[Tensor]]:
    """Reads the tensors of several ranks, a file each, as ``read_compressible`` does.

    Raises:
        ConfigurationError: there are fewer than two files, or their tensors differ in shape; or as
            ``read_compressible`` does.
    """
    if len(paths) < 2:
        raise ConfigurationError("a mean is that of several ranks; give each rank's --gradients file")
    found = [read_compressible(path, player) for path in paths]
    for path, tensors in zip(paths, found, strict=True):
        if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in found[0]]:
            raise ConfigurationError(f"{path} has tensors of other shapes than {paths[0]}; all must be of one run")
    return found


def load(path: Path) -> Any:
    """Returns what is in a .npy or .pt file: a tensor, or plain values of tensors. No code is run.

    Raises:
        ConfigurationError: there is no such file, or it cannot be read.
    """
    if path.suffix not in (".npy", ".pt"):
        raise ConfigurationError(f"{path}: numbers are read from .pt and .npy files only")
    if not path.exists():
        raise ConfigurationError(f"there is no file {path}")
    try:
        return torch.from_numpy(read_npy(path)) if path.suffix == ".npy" else read_torch(path)
    except (UnreadableError, TypeError) as error:  # torch has not all of NumPy's types
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
