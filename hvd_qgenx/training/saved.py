"""Reads the configuration and the last checkpoint of an earlier run, finished or not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.launch import require_task

C = TypeVar("C", bound=Config)


def read_saved(
    path: Path, task: type[C], kind: str, needed: Sequence[str], kept: Sequence[str]
) -> tuple[C, dict[str, Any]]:
    """Reads a run's folder; ranks, data and optimizers are not needed.

    Args:
        path: the folder.
        task: the configuration of the task that was trained.
        kind: what its checkpoints call themselves.
        needed: settings that define the model; defaults cannot replace them.
        kept: entries of the checkpoint to return.

    Raises:
        ConfigurationError: there is no run, it is one of another task, it has no checkpoint yet, or another
            version wrote it.
    """
    folder = RunFolder(path)
    stored = folder.read_config()
    require_task(path, stored, task.task)
    state = checkpoint.load(folder.checkpoint, kind)
    lacking = [name for name in needed if name not in stored] + [name for name in kept if name not in state]
    if lacking:
        raise ConfigurationError(f"{path} was written by another version: it lacks {', '.join(lacking)}")
    return task.restored(stored), {name: state[name] for name in kept}
