"""Samples of what saved runs have learned, of any task that learns a distribution."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.registry import load
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.tasks.registry import TASKS, config_of

Sample = Callable[[Path, Mapping[str, Any]], str]
"""A task's: draws from a run of this task as the given options say; returns what to print."""


def sample(run: Path, asked: Mapping[str, Any]) -> str:
    """Draws samples from the last checkpoint of a run; returns what to print.

    Raises:
        ConfigurationError: there is no run, its task has nothing to sample, or it has no such option.
    """
    task = config_of(run, RunFolder(run).read_config())
    if task.sampling is None:
        able = ", ".join(name for name, each in TASKS.items() if each.sampling)
        raise ConfigurationError(f"{run} is a run of {task.task}, which has nothing to sample; choose one of {able}")
    draw: Sample = load(task.sampling)
    return draw(run, asked)


def completed(task: str, asked: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """Returns the options of a task's samples, with defaults for those that are not given.

    Raises:
        ConfigurationError: an option is given that this task does not have.
    """
    for name in asked:
        if name not in defaults:
            known = ", ".join(f"--{each.replace('_', '-')}" for each in defaults)
            raise ConfigurationError(f"--{name} is not for samples of {task}; they have {known}")
    return {**defaults, **asked}
