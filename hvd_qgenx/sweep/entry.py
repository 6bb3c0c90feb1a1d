"""One entry of a sweep: a folder, and the command that fills it."""

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hvd_qgenx.runs import RunFolder


class Standing(Enum):
    """The progress of an entry."""

    NEW = "to do"
    STARTED = "without checkpoint"
    STOPPED = "to resume"
    DIVERGED = "diverged"
    DONE = "done"

    @property
    def ended(self) -> bool:
        """Tells whether nothing is left to do."""
        return self in (Standing.DIVERGED, Standing.DONE)


@dataclass(frozen=True)
class Entry(ABC):
    """A folder that a command fills, and the words of that command."""

    folder: RunFolder
    arguments: tuple[str, ...]
    """The command's words, without the folder."""

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def log(self) -> Path:
        """The file that the command's output is written to."""
        return self.folder.path.with_name(f"{self.name}.log")

    @property
    @abstractmethod
    def unit(self) -> str:
        """The unit of the entry's length, like ``update`` or ``epoch``."""

    @property
    @abstractmethod
    def length(self) -> float:
        """The whole length, in units."""

    @abstractmethod
    def standing(self) -> Standing:
        """Returns the progress that the folder shows."""

    @abstractmethod
    def done(self) -> float:
        """Returns the units that the folder shows."""

    @abstractmethod
    def words(self) -> list[str]:
        """Returns the words that start or resume the command."""

    @abstractmethod
    def check(self) -> None:
        """Raises ConfigurationError if the folder holds something else."""

    def prepare(self) -> None:
        """Makes the folder that holds the entry's, before the command starts."""
        self.folder.path.parent.mkdir(parents=True, exist_ok=True)

    def set_aside(self) -> Path:
        """Renames the folder, so that the command can start again; returns its new path."""
        names = (self.folder.path.with_name(f"{self.name}.aside-{number}") for number in itertools.count(1))
        return self.folder.path.rename(next(path for path in names if not path.exists()))
