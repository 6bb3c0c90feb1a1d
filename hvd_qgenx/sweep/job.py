"""One run of a sweep, and what its folder says about it."""

import itertools
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.tasks.gan.settings import MAY_CHANGE, GanConfig


class Standing(Enum):
    """How far a run has come."""

    NEW = "to do"
    STARTED = "without checkpoint"
    STOPPED = "to go on"
    DONE = "done"


@dataclass(frozen=True)
class Job:
    """A run: where it is, and what it is."""

    folder: RunFolder
    arguments: tuple[str, ...]
    """Of `hvd-qgenx gan`, all but the folder."""
    config: GanConfig
    """What these arguments ask for."""

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def log(self) -> Path:
        """What the run prints."""
        return self.folder.path.with_name(f"{self.name}.log")

    def standing(self) -> Standing:
        if not self.folder.path.exists():
            return Standing.NEW
        if _finished_updates(self.folder.summary) == self.config.updates:
            return Standing.DONE
        return Standing.STOPPED if self.folder.checkpoint.exists() else Standing.STARTED

    def updates_done(self) -> int:
        """Updates that the folder tells of."""
        if self.standing() is Standing.DONE:
            return self.config.updates
        return min(_logged_updates(self.folder.metrics), self.config.updates)

    def words(self) -> list[str]:
        """Arguments of `hvd-qgenx gan` that start the run, or go on with it."""
        where = "--resume" if self.standing() is Standing.STOPPED else "--out"
        return [where, str(self.folder.path), *self.arguments]

    def check(self) -> None:
        """Finds out whether what is there already is what is asked for.

        Raises:
            ConfigurationError: it is a run of another kind, or has more updates.
        """
        if self.standing() not in (Standing.STOPPED, Standing.DONE):
            return
        done = _finished_updates(self.folder.summary)
        if done > self.config.updates:
            raise ConfigurationError(
                f"{self.folder.path} has {done} updates already, more than {self.config.updates}; "
                "ask for as many, or choose another out"
            )
        before, now = _settings(self.folder.read_config()), _settings(self.config.as_dict())
        differ = [name for name in now if name not in (*MAY_CHANGE, "device") and now[name] != before.get(name)]
        if differ:
            listing = "; ".join(f"{name} was {before.get(name)}, not {now[name]}" for name in differ)
            raise ConfigurationError(
                f"{self.folder.path} began otherwise than the sweep asks: {listing}; change it back, "
                "or choose another out"
            )

    def set_aside(self) -> Path:
        """Renames the folder, so that the run can begin again; returns its new path."""
        names = (self.folder.path.with_name(f"{self.name}.aside-{number}") for number in itertools.count(1))
        return self.folder.path.rename(next(path for path in names if not path.exists()))


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the compressor's parameters among its settings."""
    own = {name: value for name, value in config.items() if name != "compressor_parameters"}
    return {**own, **config.get("compressor_parameters", {})}


def _finished_updates(summary: Path) -> int:
    """Updates of a run that came to its end; 0 if it did not."""
    try:
        return int(json.loads(summary.read_text())["updates"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _logged_updates(metrics: Path) -> int:
    """The update of the table's last whole row; 0 if there is none."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, metrics.stat().st_size - 4096))
            lines = file.read().split(b"\n")
        return int(lines[-2].split(b",")[0])  # behind the last line end is nothing, or a row being written
    except (OSError, IndexError, ValueError):
        return 0
