"""Measurements on disk: JSON with rows, and the machine they were made on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs.folder import write_json

KINDS = ("codec", "exchange")


@dataclass(frozen=True)
class Measured:
    """What one call of ``hvd-qgenx bench codec`` or ``exchange`` found."""

    kind: str
    command: str
    machine: dict[str, Any]
    rows: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"kind": self.kind, "command": self.command, "machine": self.machine, "rows": self.rows}

    def write(self, path: Path) -> None:
        """Writes a file that ``read`` reads; its folder is made if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.as_dict())


def read(paths: Sequence[Path]) -> list[Measured]:
    """Files of earlier measurements.

    Raises:
        ConfigurationError: one cannot be read, or holds something else.
    """
    found = []
    for path in paths:
        try:
            content = json.loads(path.read_text())
            found.append(Measured(**content))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(f"{path} holds no measurement that can be read: {error}") from error
        if found[-1].kind not in KINDS:
            raise ConfigurationError(f"{path} is of unknown kind {found[-1].kind!r}")
    return found
