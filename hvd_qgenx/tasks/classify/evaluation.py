"""Scores of saved classifiers."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.classify import accuracy
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.task import PLAYER, ClassifyTask, Parts, make_model, score
from hvd_qgenx.training.asked import changed
from hvd_qgenx.training.averages import Averages
from hvd_qgenx.training.saved import read_saved
from hvd_qgenx.training.task import choose_device
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, on_all_ranks

Row = dict[str, Any]

NEEDED = ("model", "model_norm", "ema")
"""Settings that define the classifier; defaults cannot replace them."""
KEPT = (PLAYER, "averages", "images", "move")


@dataclass(frozen=True)
class SavedClassifier:
    """A run's folder: its configuration and its last checkpoint."""

    config: ClassifyConfig
    state: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "SavedClassifier":
        """Reads a run's folder.

        Raises:
            ConfigurationError: there is no run, it has no checkpoint yet, or it is of another task or version.
        """
        return cls(*read_saved(path, ClassifyConfig, ClassifyTask.kind, NEEDED, KEPT))

    @property
    def updates(self) -> float:
        """Number of updates so far, with one half after an extrapolation."""
        return self.config.updates_after(self.state["move"])

    def model(self, parts: Parts, weights: str) -> nn.Module:
        """Returns the classifier with these weights, on the CPU.

        Raises:
            ConfigurationError: the run has not kept this average.
        """
        model = make_model(self.config, parts.train)
        model.load_state_dict(self.state[PLAYER])
        if weights == "raw":
            return model
        if not self.state["averages"]:
            raise ConfigurationError(f"the run has no {weights} weights: it was trained with --score-weights raw")
        averages = Averages(model, self.config.ema)
        averages.load_state_dict(self.state["averages"])
        return averages.module(weights)


def evaluate_runs(
    transport: Transport, runs: Sequence[Path], asked: Mapping[str, Any], download: bool
) -> dict[Path, list[Row]]:
    """Scores the classifiers of runs; see ``hvd_qgenx.tasks.evaluation``. Collective."""
    found = {run: from_rank_0(transport, "run", functools.partial(SavedClassifier.read, run)) for run in runs}
    wanted = on_all_ranks(transport, "settings", lambda: {run: changed(found[run].config, asked) for run in runs})
    return {run: _score(found[run], wanted[run], transport, download) for run in runs}


def _score(saved: SavedClassifier, config: ClassifyConfig, transport: Transport, download: bool) -> list[Row]:
    parts = ClassifyTask.load(config, transport, download)
    on_all_ranks(transport, "model", lambda: ClassifyTask.check_data(config, parts, saved.state))
    device = choose_device(config.device, transport)
    models = on_all_ranks(transport, "weights", lambda: {w: saved.model(parts, w) for w in config.scored_weights})
    scores = {w: score(model.to(device), config, parts, device, transport) for w, model in models.items()}
    return [
        {
            "update": saved.updates,
            "samples": len(parts.test),
            "score": name,
            "weights": weights,
            "value": scores[weights][name],
            "bias": None,
        }
        for name in accuracy.SCORES
        for weights in models
    ]
