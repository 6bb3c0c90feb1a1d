"""Scores of saved runs, of any task, and where they are kept."""

import csv
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.registry import load
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.runs.folder import naming
from hvd_qgenx.tasks.registry import TASKS, config_of
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.task import task_of
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, require_same

COLUMNS = ("update", "samples", "score", "weights", "value", "bias")

log = logging.getLogger(__name__)

Row = dict[str, Any]
"""Values by ``COLUMNS``, and the run."""
Evaluate = Callable[[Transport, Sequence[Path], Mapping[str, Any], bool], dict[Path, list[Row]]]
"""A task's: scores runs of this task with settings in place of their own, maybe downloading; rows without the run."""


def score_runs(transport: Transport, runs: Sequence[Path], asked: Mapping[str, Any], download: bool) -> list[Row]:
    """Scores runs and notes it in their folders, which rank 0 alone needs. Collective; the same rows on all ranks.

    Of several folders, those that hold no run, or a damaged one, are left out with a warning.

    Args:
        transport: of the ranks.
        runs: folders.
        asked: settings by name, in place of the runs' own.
        download: fetch what is missing.

    Raises:
        ConfigurationError: on all ranks; no folder holds a run, its task has no such setting, or something is missing.
    """
    places = ("data_dir", "inception_weights")
    require_same(transport, {**asked, **dict.fromkeys(places), "runs": runs, "download": download})
    names = from_rank_0(transport, "runs", functools.partial(_tasks, list(dict.fromkeys(runs))))
    tasks = {run: TASKS[name] for run, name in names.items()}
    found: dict[Path, list[Row]] = {}
    for task in dict.fromkeys(tasks.values()):
        evaluate: Evaluate = load(task.evaluation)
        found |= evaluate(transport, [run for run in tasks if tasks[run] is task], asked, download)
    if transport.rank == 0:
        for run, rows in found.items():
            _append(RunFolder(run).evaluation, rows)
    return [{"run": str(run), **row} for run in tasks for row in found[run]]


def _tasks(runs: Sequence[Path]) -> dict[Path, str]:
    """Returns the name of the task of every run that can be scored."""
    if len(runs) == 1:
        return {runs[0]: _config(runs[0]).task}
    found, errors = {}, []
    for run in runs:
        try:
            config = _config(run)
            checkpoint.load(RunFolder(run).checkpoint, task_of(config).kind)
            found[run] = config.task
        except ConfigurationError as error:
            errors.append(f"{run} is left out: {error}")
    if not found:
        raise ConfigurationError(f"none of {len(runs)} folders holds a run to score; {errors[0]}")
    for sentence in errors:
        log.warning(sentence)
    return found


def _config(run: Path) -> type[Config]:
    return config_of(run, RunFolder(run).read_config())


def _append(path: Path, rows: Sequence[Row]) -> None:
    with naming(path), path.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not file.tell():
            table.writeheader()
        table.writerows(rows)
