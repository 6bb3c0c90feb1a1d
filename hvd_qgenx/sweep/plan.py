"""Plans the entries of a sweep."""

from collections.abc import Mapping
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.sweep.command import Command
from hvd_qgenx.sweep.file import Commands, Sweep
from hvd_qgenx.sweep.job import Job
from hvd_qgenx.sweep.options import OTHERS
from hvd_qgenx.training import presets
from hvd_qgenx.training.asked import configure, merge, read
from hvd_qgenx.training.config import Config


def plan(sweep: Sweep) -> list[Job]:
    """Returns all runs, one seed after the other.

    Raises:
        ConfigurationError: a run cannot be trained, or contradicts the one in its folder; names the mode.
    """
    return [_job(sweep, mode, seed) for seed in sweep.seeds for mode in sweep.modes]


def plan_commands(sweep: Commands) -> list[Command]:
    """Returns the commands of a sweep.

    Raises:
        ConfigurationError: one contradicts the results in its folder; names it.
    """
    commands = [Command(RunFolder(sweep.out / name), words) for name, words in sweep.words.items()]
    for command in commands:
        try:
            command.check()
        except ConfigurationError as error:
            raise ConfigurationError(f"{command.name}: {error}") from error
    return commands


def _job(sweep: Sweep, mode: str, seed: int) -> Job:
    asked = {**sweep.modes[mode], "seed": seed}
    try:
        job = Job(RunFolder(sweep.out / f"{mode}-seed{seed}"), _words(asked), _config(sweep.task, asked))
        job.check()
    except ConfigurationError as error:
        raise ConfigurationError(f"{mode}: {error}") from error
    return job


def _config(task: type[Config], asked: Mapping[str, Any]) -> Config:
    """Returns the configuration that the task's command makes of these options."""
    preset = [presets.load(task, asked["preset"]).merged()] if "preset" in asked else []
    own = read(task, {name: value for name, value in asked.items() if name not in OTHERS}, "sweep")
    config = configure(task, merge(task, [*preset, own]))
    config.check(ranks=asked.get("local_ranks", 1))
    return config


def _words(asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns options as words of a command line."""
    words: list[str] = []
    for name, value in asked.items():
        flag = name.replace("_", "-")
        if value is True:
            words += [f"--{flag}"]
        elif value is not False:
            words += [f"--{flag}", str(value)]
        elif name not in OTHERS:  # those are off by default
            words += [f"--no-{flag}"]
    return tuple(words)
