"""Files of weights: downloaded with a checksum, and read without executing pickled code."""

from pathlib import Path
from typing import Any

import torch

from hvd_qgenx.arrays import UnreadableError, read_torch
from hvd_qgenx.errors import ConfigurationError


def fetch(url: str, path: Path, otherwise: str) -> Path:
    """Downloads a file whose name ends with the first digits of its SHA-256, as torch hub's files do.

    Args:
        url: address of the file.
        path: destination; no incomplete file is left there.
        otherwise: what the user can do instead, for the message.

    Raises:
        ConfigurationError: the download fails, or the checksum is wrong.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1])
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"cannot download {url} to {path} ({error}); {otherwise}") from error
    return path


def read(path: Path) -> dict[str, Any]:
    """Reads a dictionary of tensors and plain values that ``torch.save`` wrote.

    Raises:
        ConfigurationError: it is something else, such as a pickle that would run code.
    """
    try:
        value = read_torch(path)
    except UnreadableError as error:
        raise ConfigurationError(f"{path} cannot be read as a file of weights; fetch it again") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} does not hold weights by name; fetch it again")
    return value
