"""Samples with two labels, read from LIBSVM files."""

import bz2
import hashlib
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hvd_qgenx.errors import ConfigurationError


@dataclass(frozen=True)
class Samples:
    """Samples of a binary classification."""

    name: str
    features: csr_array
    """float64 (n, d)"""
    labels: NDArray[np.int64]
    """0 or 1, (n,)"""

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def fingerprint(self) -> str:
        """Returns a hash that identifies the samples."""
        digest = hashlib.sha256(str(self.features.shape).encode())
        for part in (self.features.indptr.astype(np.int64), self.features.indices.astype(np.int64)):
            digest.update(part.tobytes())
        digest.update(self.features.data.tobytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


def read(path: Path, name: str | None = None) -> Samples:
    """Reads a LIBSVM file: a sample a line, ``label index:value ...``, indices from 1 in increasing order.

    The number of features is the largest index. The smaller of the two labels becomes 0, the larger 1.

    Args:
        path: the file; compressed if its name ends with .bz2.
        name: name of the samples; None for that of the file.

    Raises:
        ConfigurationError: the file cannot be read, or is not of this form; names the line.
    """
    try:
        with _opened(path) as file:
            labels, ends, columns, values = _parse(file, path)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{path} cannot be read ({reason}); fetch it again") from error
    if not labels:
        raise ConfigurationError(f"{path} holds no samples")
    indices = np.array(columns, dtype=np.int64) - 1
    shape = (len(labels), int(indices.max(initial=-1)) + 1)
    features = csr_array((np.array(values), indices, np.array(ends, dtype=np.int64)), shape=shape)
    return Samples(name or path.name, features, two_labels(np.array(labels), str(path)))


def two_labels(labels: NDArray[np.float64], source: str) -> NDArray[np.int64]:
    """Maps the smaller of two labels to 0 and the larger to 1.

    Raises:
        ConfigurationError: there are not two different labels; ``source`` is named.
    """
    found = np.unique(labels)
    if len(found) != 2:
        shown = ", ".join(f"{label:g}" for label in found[:5]) + (", ..." if len(found) > 5 else "")
        plural = "" if len(found) == 1 else "s"
        raise ConfigurationError(f"{source} has {len(found)} different label{plural} ({shown}); it must have two")
    return np.searchsorted(found, labels)


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".bz2":
        return cast("IO[str]", bz2.open(path, "rt", encoding="ascii", errors="replace"))
    return path.open(encoding="ascii", errors="replace")


def _parse(file: Iterable[str], path: Path) -> tuple["array[float]", "array[int]", "array[int]", "array[float]"]:
    """Returns labels, where each sample ends among the entries (with a 0 in front), columns and values."""
    labels, ends, columns, values = array("d"), array("q", [0]), array("q"), array("d")
    for number, line in enumerate(file, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            labels.append(_finite(words[0]))
            last = 0
            for word in words[1:]:
                index, _, value = word.partition(":")
                if int(index) <= last:
                    raise ValueError(f"index {index} after {last}: indices count from 1 and increase")
                last = int(index)
                columns.append(last)
                values.append(_finite(value))
        except ValueError as error:
            raise ConfigurationError(
                f"line {number} of {path} is not of the form 'label index:value ...' ({error}); "
                "the file is damaged or cut short"
            ) from error
        ends.append(len(values))
    return labels, ends, columns, values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
