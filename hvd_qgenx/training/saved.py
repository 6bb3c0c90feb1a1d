"""Reads the configuration and the last checkpoint of an earlier run, finished or not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import naming
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.fitting import require_like
from hvd_qgenx.training.launch import restored

C = TypeVar("C", bound=Config)


def read_saved(
    path: Path, task: type[C], kind: str, needed: Sequence[str], kept: Mapping[str, Any]
) -> tuple[C, dict[str, Any]]:
    """Reads a run's folder; ranks, data and optimizers are not needed.

    Args:
        path: the folder.
        task: the configuration of the task that was trained.
        kind: what its checkpoints call themselves.
        needed: settings that define the model; defaults cannot replace them.
        kept: entries of the checkpoint to return, each as it looks: ``fitting.require_like`` compares them.

    Raises:
        ConfigurationError: there is no run, it is one of another task, it has no checkpoint yet, another
            version wrote it, or a file of it is damaged.
    """
    folder = RunFolder(path)
    stored = folder.read_config()
    config = restored(folder, stored, task)
    state = checkpoint.load(folder.checkpoint, kind)
    for place, names, held in ((folder.config, needed, stored), (folder.checkpoint, kept, state)):
        if lacking := ", ".join(name for name in names if name not in held):
            raise ConfigurationError(f"{place} was written by another version: it lacks {lacking}")
    with naming(folder.checkpoint):
        require_like(state, kept)
    return config, {name: state[name] for name in kept}
