"""Models of saved runs, and their scores."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import naming
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.training.asked import changed
from hvd_qgenx.training.averages import averaged
from hvd_qgenx.training.fitting import filled
from hvd_qgenx.training.saved import read_saved
from hvd_qgenx.training.single_model.settings import SingleModelConfig
from hvd_qgenx.training.single_model.task import PLAYER, SingleModelTask
from hvd_qgenx.training.task import choose_device
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, on_all_ranks

Row = dict[str, Any]


@dataclass(frozen=True)
class SavedModel:
    """A run's folder: its configuration and its last checkpoint."""

    config: Any
    state: dict[str, Any]
    checkpoint: Path
    """The file that the state is from, for messages."""

    @classmethod
    def read(cls, path: Path, task: type[SingleModelTask], config: type[SingleModelConfig]) -> "SavedModel":
        """Reads a run's folder.

        Raises:
            ConfigurationError: there is no run, it has no checkpoint yet, or it is of another task or version.
        """
        found = read_saved(path, config, task.kind, (*task.defining, "ema"), {**task.kept, "move": 0})
        return cls(*found, RunFolder(path).checkpoint)

    @property
    def updates(self) -> float:
        """Number of updates so far, with one half after an extrapolation."""
        updates: float = self.config.updates_after(self.state["move"])
        return updates

    def weighted(self, make: Callable[[], nn.Module], weights: str) -> Any:
        """Returns a model of the run's shape, as ``make`` makes it, with these weights.

        Raises:
            ConfigurationError: the run has not kept this average, or its weights do not fit the model.
        """
        if weights != "raw" and not self.state["averages"]:
            raise ConfigurationError(f"the run has no {weights} weights: it was trained with --score-weights raw")
        with naming(self.checkpoint):
            model = filled(make, self.state[PLAYER], PLAYER)
            return model if weights == "raw" else averaged(model, self.config.ema, self.state["averages"], weights)


def evaluate_runs(
    task: type[SingleModelTask],
    config: type[SingleModelConfig],
    transport: Transport,
    runs: Sequence[Path],
    asked: Mapping[str, Any],
    download: bool,
) -> dict[Path, list[Row]]:
    """Scores the models of a task's runs; see ``hvd_qgenx.tasks.evaluation``. Collective."""
    found = {run: from_rank_0(transport, "run", functools.partial(SavedModel.read, run, task, config)) for run in runs}
    wanted = on_all_ranks(transport, "settings", lambda: {run: changed(found[run].config, asked) for run in runs})
    return {run: _score(task, found[run], wanted[run], transport, download) for run in runs}


def _score(
    task: type[SingleModelTask], saved: SavedModel, config: SingleModelConfig, transport: Transport, download: bool
) -> list[Row]:
    data = task.load(config, transport, download)
    on_all_ranks(transport, "model", lambda: task.check_data(config, data, saved.state))
    device = choose_device(config.device, transport)
    models = on_all_ranks(
        transport,
        "weights",
        lambda: {w: saved.weighted(lambda: task.make_model(saved.config, data), w) for w in config.scored_weights},
    )
    score = task.scorer(config, data, device, transport, download)
    scores = {w: score(model.to(device)) for w, model in models.items()}
    return [
        {
            "update": saved.updates,
            "samples": task.test_samples(data),
            "score": name,
            "weights": weights,
            "value": scores[weights][name],
            "bias": task.ideal_scores(data).get(name),
        }
        for name in scores[config.scored_weights[0]]
        for weights in models
    ]
