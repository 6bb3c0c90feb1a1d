"""Downloads files."""

from pathlib import Path

import torch

from hvd_qgenx.errors import ConfigurationError


def fetch(url: str, path: Path) -> None:
    """Downloads a file, whose folder is made if necessary.

    Raises:
        ConfigurationError: it cannot be fetched, or not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"cannot download {url} to {path} ({error}); fetch it by hand") from error
