"""Caches arrays that take long to compute between runs."""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hvd_qgenx.arrays import UnreadableError, read_npz
from hvd_qgenx.transport.environment import CACHE

log = logging.getLogger(__name__)


class Cached:
    """One file of the user's cache: arrays by name, under a key of everything that they depend on."""

    def __init__(self, kind: str, title: str, key: Mapping[str, Any]) -> None:
        """
        Args:
            kind: name of the folder.
            title: readable start of the file's name.
            key: JSON values; their hash completes the name.
        """
        digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
        root = os.environ.get(CACHE) or Path.home() / ".cache"
        self.path = Path(root) / "hvd-qgenx" / kind / f"{title}-{digest[:16]}.npz"

    def read(self) -> dict[str, Tensor] | None:
        """Returns the stored arrays; None if there are none, or a checksum is wrong."""
        try:
            return {name: torch.from_numpy(array) for name, array in read_npz(self.path).items()}
        except (UnreadableError, TypeError):
            return None

    def write(self, arrays: Mapping[str, Tensor]) -> None:
        """Replaces the file atomically, even with concurrent writers; warns if it cannot be written."""
        draft = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path.parent, suffix=".draft", delete=False) as file:
                draft = Path(file.name)
                np.savez(file, allow_pickle=False, **{name: array.numpy() for name, array in arrays.items()})
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            log.warning(f"cannot write {self.path} ({error.strerror}); it is computed again next time")
            if draft:
                with contextlib.suppress(OSError):
                    draft.unlink()
