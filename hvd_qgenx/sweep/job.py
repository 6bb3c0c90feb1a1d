"""One run of a sweep, and its progress as its folder shows it."""

from dataclasses import dataclass
from pathlib import Path

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import read_json
from hvd_qgenx.runs import Divergence
from hvd_qgenx.sweep.entry import Entry, Standing
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.launch import require_task
from hvd_qgenx.training.settings import declared


@dataclass(frozen=True)
class Job(Entry):
    """One run: its folder and its configuration; ``arguments`` are those of the task's command."""

    config: Config
    """The configuration that the arguments ask for."""

    @property
    def unit(self) -> str:
        """The unit of the run's length: ``update`` or ``epoch``."""
        return self.config.length[0]

    @property
    def length(self) -> float:
        """Number of updates or epochs of the whole run."""
        return self.config.length[1]

    @property
    def divergence(self) -> Divergence | None:
        """How the run diverged; None if it did not."""
        return Divergence.read(self.folder)

    def standing(self) -> Standing:
        """Returns the progress that the folder shows."""
        if not self.folder.path.exists():
            return Standing.NEW
        if self._finished() == self.length:
            return Standing.DONE
        if self.divergence:
            return Standing.DIVERGED
        return Standing.STOPPED if self.folder.checkpoint.exists() else Standing.STARTED

    def done(self) -> float:
        """Returns the number of updates or epochs that the folder shows."""
        if self.standing() is Standing.DONE:
            return self.length
        done = min(_logged(self.folder.metrics, self.unit), self.length)
        return done if self.unit == "epoch" else int(done)

    def _finished(self) -> float:
        """Returns the updates or epochs of a finished run; 0 if it is not finished."""
        try:
            return float(read_json(self.folder.summary)[f"{self.unit}s"])
        except (ValueError, KeyError, TypeError, OverflowError):
            return 0

    def words(self) -> list[str]:
        """Returns the arguments of the task's command that start or resume the run."""
        where = "--resume" if self.standing() is Standing.STOPPED else "--out"
        return [where, str(self.folder.path), *self.arguments]

    def check(self) -> None:
        """Checks that a run in the folder matches the sweep.

        Raises:
            ConfigurationError: it has other settings, or more updates or epochs.
        """
        if self.standing() not in (Standing.STOPPED, Standing.DIVERGED, Standing.DONE):
            return
        done = self._finished()
        if done > self.length:
            raise ConfigurationError(
                f"{self.folder.path} already has {done:g} {self.unit}s, more than {self.length:g}; "
                "ask for as many, or choose another out"
            )
        stored = self.folder.read_config()
        require_task(self.folder.path, stored, self.config.task)
        before, now = type(self.config).restored(stored).flat(), self.config.flat()
        settings = declared(type(self.config))
        may_change = {name for name in settings if settings[name].declaration.may_change}
        differ = [name for name in now if name not in {*may_change, "device"} and now[name] != before.get(name)]
        if differ:
            listing = "; ".join(f"{name} was {before.get(name)}, not {now[name]}" for name in differ)
            raise ConfigurationError(
                f"{self.folder.path} was started with other settings: {listing}; change the sweep back, "
                "or choose another out"
            )


def _logged(metrics: Path, column: str) -> float:
    """Returns the value in this column of the table's last complete row; 0 if there is none."""
    try:
        with metrics.open("rb") as file:
            index = file.readline().rstrip().split(b",").index(column.encode())
            file.seek(max(0, metrics.stat().st_size - 4096))
            lines = file.read().split(b"\n")
        return float(lines[-2].split(b",")[index])  # after the last line end: nothing, or an incomplete row
    except (OSError, IndexError, ValueError):
        return 0
