"""Loads the generator of an earlier run, finished or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from compressors.naming import shown, unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import naming
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.tasks.gan.generation import Inputs, with_statistics
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.gan.task import GanTask, make_players
from hvd_qgenx.tasks.images import DESCRIPTION
from hvd_qgenx.training.averages import averaged
from hvd_qgenx.training.config import WEIGHTS
from hvd_qgenx.training.fitting import filled, misfit, require_like
from hvd_qgenx.training.saved import read_saved

NEEDED = ("model", "filters", "latent", "generator_norm", "conditional", "ema", "seed")
"""Settings that define the generator; defaults cannot replace them."""
MOST_CLASSES = 1 << 20
KEPT = {"generator": {}, "averages": {}, "images": DESCRIPTION, "move": 0}


@dataclass(frozen=True)
class SavedRun:
    """The generator in a run's folder; ranks, data and optimizers are not needed."""

    config: GanConfig
    state: dict[str, Any]
    """The entries ``KEPT`` of the last checkpoint."""
    checkpoint: Path
    """The file that they are from, for messages."""

    @classmethod
    def read(cls, path: Path) -> "SavedRun":
        """Reads a run's folder.

        Raises:
            ConfigurationError: there is no run, it has no checkpoint yet, or it is of another task or version.
        """
        return cls(*read_saved(path, GanConfig, GanTask.kind, NEEDED, KEPT), RunFolder(path).checkpoint)

    @property
    def updates(self) -> float:
        """Number of updates so far, with one half after an extrapolation."""
        return self.config.updates_after(self.state["move"])

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of their labels; empty if they have none but their numbers."""
        names = self.state["images"].get("class_names") or []
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise misfit("images.class_names", f"is {shown(names)}, not a list of names")
        return names

    @property
    def inputs(self) -> Inputs:
        """The generator's inputs; labels are equally frequent if the run is older than counts in checkpoints."""
        images = self.state["images"]
        if not 0 <= images["classes"] <= MOST_CLASSES:
            raise misfit("images.classes", f"is {images['classes']}")
        counts = images.get("counts") or [1] * images["classes"]
        require_like(counts, [1] * images["classes"], "images.counts")
        return Inputs(self.config.latent, tuple(counts) if self.config.conditional else ())

    def generator(self, weights: str, device: torch.device | str = "cpu") -> nn.Module:
        """Returns the generator with these weights, one of ``WEIGHTS``, in evaluation mode.

        Raises:
            ConfigurationError: there are no such weights, or they do not fit the run's models.
        """
        if weights not in WEIGHTS:
            raise ConfigurationError(unknown("weights", weights, WEIGHTS))
        with naming(self.checkpoint):
            model = self._generator(weights)
        return with_statistics(model.to(device), self.inputs, self.config.seed)

    def _generator(self, weights: str) -> nn.Module:
        config, images = self.config, self.state["images"]
        model = filled(
            lambda: make_players(config, images["channels"], images["side"], self.inputs.classes).generator,
            self.state["generator"],
            "generator",
        )
        return model if weights == "raw" else averaged(model, config.ema, self.state["averages"], weights)
