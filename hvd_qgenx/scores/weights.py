"""Files of weights: fetched whole, read without running what a pickle says."""

from pathlib import Path
from typing import Any

import torch

from hvd_qgenx.errors import ConfigurationError


def fetch(url: str, path: Path, otherwise: str) -> Path:
    """Downloads a file whose name ends in the beginning of its SHA-256, as torch hub's do.

    Args:
        url: of the file.
        path: where it goes; nothing is left there if it does not arrive whole.
        otherwise: what the user can do instead.

    Raises:
        ConfigurationError: it cannot be had, or is another file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rsplit("-", 1)[1])
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"cannot download {url} to {path} ({error}); {otherwise}") from error
    return path


def read(path: Path) -> dict[str, Any]:
    """What ``torch.save`` wrote, if it is a dictionary of tensors and plain values.

    Raises:
        ConfigurationError: it is something else, such as a pickle that would run code.
    """
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle fails in any way
        raise ConfigurationError(f"{path} cannot be read as a file of weights; fetch it again") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} holds no weights by name; fetch it again")
    return value
