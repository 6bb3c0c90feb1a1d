"""Measurements on disk: JSON with rows and a description of the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressors.naming import shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import read_json, unusable
from hvd_qgenx.runs.folder import write_json

KINDS = ("codec", "exchange")
REMEDY = "it is no measurement; write one with hvd-qgenx bench --json"


@dataclass(frozen=True)
class Measured:
    """The results of one call of ``hvd-qgenx bench codec`` or ``exchange``."""

    kind: str
    command: str
    machine: dict[str, Any]
    rows: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return {"kind": self.kind, "command": self.command, "machine": self.machine, "rows": self.rows}

    def write(self, path: Path) -> None:
        """Writes a file for ``read``; creates its folder if necessary."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.as_dict())


def read(paths: Sequence[Path]) -> list[Measured]:
    """Reads files of earlier measurements.

    Raises:
        ConfigurationError: a file cannot be read, or holds something else.
    """
    found = []
    for path in paths:
        with unusable(str(path), REMEDY):
            found.append(Measured(**read_json(path)))
        if found[-1].kind not in KINDS:
            raise ConfigurationError(
                f"{path} holds a measurement of unknown kind {shown(found[-1].kind)}, not {' or '.join(KINDS)}"
            )
    return found
