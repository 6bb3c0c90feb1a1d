"""Checkpoints, written atomically and verified when read."""

import io
from pathlib import Path
from typing import Any

import torch

from hvd_qgenx.arrays import UnreadableError, read_torch
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs.folder import write_atomically


def save(path: Path, kind: str, state: dict[str, Any]) -> None:
    """Writes ``state`` (tensors and plain values); a reader sees the old file or the new one.

    Raises:
        OSError: it cannot be written; the old file stays intact.
    """
    serialized = to_bytes({"kind": kind, **state})  # torch.save would hide the cause of a failed write
    write_atomically(path, lambda file: file.write(serialized))


def to_bytes(state: dict[str, Any]) -> bytes:
    """Serializes the state, from any device, in the format of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def from_bytes(serialized: bytes) -> dict[str, Any]:
    """Restores the state that ``to_bytes`` serialized, on the CPU."""
    state: dict[str, Any] = torch.load(io.BytesIO(serialized), map_location="cpu", weights_only=True)
    return state


def load(path: Path, kind: str) -> dict[str, Any]:
    """Reads what ``save`` wrote for this kind of run, on the CPU.

    Raises:
        ConfigurationError: missing, truncated, compressed, or not a checkpoint of this kind.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no checkpoint {path}; the run was stopped before its first one")
    try:
        state = read_torch(path)
    except UnreadableError as error:
        raise ConfigurationError(f"{path} is damaged or not a checkpoint ({error})") from error
    if not isinstance(state, dict) or state.get("kind") != kind:
        raise ConfigurationError(f"{path} is not a checkpoint of {kind}")
    return state
