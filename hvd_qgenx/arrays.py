"""Reads files of tensors and arrays: no code is run, and no more memory is taken than the file is long."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hvd_qgenx.errors import is_out_of_memory

MAKES_BYTES = b"bytearray"
"""The one name in a pickle of plain values that makes torch allocate whatever length the file asks for."""


class UnreadableError(ValueError):
    """A file is damaged, or something else than was expected; says why, without its name."""


def read_torch(path: Path) -> Any:
    """Returns what ``torch.save`` wrote, on the CPU: tensors and plain values.

    Raises:
        UnreadableError: it cannot be read, a checksum is wrong, or it would take more memory than the file is long.
    """
    with _unreadable("tensors and plain values"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickles by others, which are refused
        if zipfile.is_zipfile(path):  # others are in torch's older format
            _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)


def read_npy(path: Path) -> NDArray[Any]:
    """Returns the array in a .npy file.

    Raises:
        UnreadableError: it cannot be read, or is shorter than its array.
    """
    with _unreadable("an array of numbers"):
        return np.array(np.lib.format.open_memmap(path, mode="r"))


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Returns the arrays, by name, that ``np.savez`` wrote.

    Raises:
        UnreadableError: as ``read_torch`` does.
    """
    with _unreadable("arrays of numbers"):
        _check_archive(path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}


@contextmanager
def _unreadable(expected: str) -> Iterator[None]:
    """Turns the many types of errors that a damaged file raises into one, which says what was expected."""
    try:
        yield
    except UnreadableError:
        raise
    except OSError as error:
        raise UnreadableError(error.strerror if error.filename else f"it does not hold {expected}") from error
    except Exception as error:
        if is_out_of_memory(error):
            raise UnreadableError("there is too little memory for what it says it holds") from error
        raise UnreadableError(f"it does not hold {expected}") from error


def _check_archive(path: Path) -> None:
    """Checks what torch does not: checksums, and that the parts are no longer than the file."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise UnreadableError("its parts are compressed, which no writer here does")
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise UnreadableError("its parts are longer than the file")
        if damaged := archive.testzip():
            raise UnreadableError(f"the checksum of its part {damaged[:100]} is wrong")
        for part in parts:
            if part.filename.endswith(".pkl") and MAKES_BYTES in archive.read(part):
                raise UnreadableError("it holds something else than tensors and plain values")
