"""Objects as bytes, read back without running any code that the bytes name.

Pickle can name any function of any package, to be called when it is read. Here it can name records of this
project, and what makes tensors, arrays and paths.
"""

import dataclasses
import io
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PACKAGES = ("compressors", "hvd_qgenx")
NUMBERS = "biufc"
"""Kinds of numpy's dtypes that hold numbers."""


def dumps(value: Any) -> bytes:
    """Serializes plain values, tensors, arrays, paths, and this project's dataclasses, named tuples and errors.

    Tensors arrive on the CPU, without their history.

    Raises:
        pickle.PicklingError: the value holds an array of something else than numbers.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """Returns the value that ``dumps`` was given.

    Raises:
        pickle.UnpicklingError: the bytes name something else, which has not been imported.
    """
    return _Unpickler(io.BytesIO(data)).load()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            numbers = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            return _tensor, (numbers.tobytes(), str(value.dtype).removeprefix("torch."), tuple(value.shape))
        if isinstance(value, np.ndarray | np.generic):
            if value.dtype.kind not in NUMBERS:
                raise pickle.PicklingError(f"an array of {value.dtype} cannot be sent")
            return _array, (value.tobytes(), value.dtype.str, value.shape, isinstance(value, np.generic))
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module.partition(".")[0] in PACKAGES:
            found = getattr(import_module(module), name, None)  # never what another module has under a dotted name
            if isinstance(found, type) and found.__module__ == module and _is_record(found):
                return found
        raise pickle.UnpicklingError(f"a rank sent {module}.{name}, which is no plain value and no record of ours")


def _is_record(found: type) -> bool:
    return dataclasses.is_dataclass(found) or issubclass(found, Exception | tuple)


def _tensor(data: bytes, dtype: str, shape: Sequence[int]) -> Tensor:
    known = getattr(torch, dtype)
    if not isinstance(known, torch.dtype):
        raise pickle.UnpicklingError(f"a rank sent a tensor of {dtype!r}")
    return torch.frombuffer(bytearray(data), dtype=known).reshape(shape) if data else torch.empty(shape, dtype=known)


def _array(data: bytes, dtype: str, shape: Sequence[int], scalar: bool) -> NDArray[Any] | np.generic:
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape).copy()
    return array[()] if scalar else array


_PLAIN = {(found.__module__, found.__qualname__): found for found in (OrderedDict, type(Path()), _tensor, _array)}
