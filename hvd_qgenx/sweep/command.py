"""A command of a sweep that is no training run, such as ``logistic``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import read_json
from hvd_qgenx.runs.folder import write_json
from hvd_qgenx.sweep.entry import Entry, Standing


@dataclass(frozen=True)
class Command(Entry):
    """A command that writes its results to ``--out``, ``summary.json`` last; it cannot be resumed."""

    unit = "command"
    length = 1

    @property
    def record(self) -> Path:
        """The file with the words that filled the folder."""
        return self.folder.path / "words.json"

    def standing(self) -> Standing:
        if not self.folder.path.exists():
            return Standing.NEW
        return Standing.DONE if self.folder.summary.exists() and self._recorded() else Standing.STARTED

    def done(self) -> float:
        return int(self.standing() is Standing.DONE)

    def words(self) -> list[str]:
        return [*self.arguments, "--out", str(self.folder.path)]

    def prepare(self) -> None:
        """Makes the folder, and writes the words into it."""
        self.folder.path.mkdir(parents=True)
        write_json(self.record, self.arguments)

    def printed(self) -> str:
        """Returns what the command printed when it ran last, as its log has it."""
        text = f"\n{self.log.read_text(errors='replace')}"
        return text.rpartition("\n$ ")[2].partition("\n")[2]

    def check(self) -> None:
        """Checks that finished results are those of these words.

        Raises:
            ConfigurationError: they are those of others.
        """
        if self.standing() is Standing.DONE and self._recorded() != [*self.arguments]:
            raise ConfigurationError(
                f"{self.folder.path} holds the results of other words: {' '.join(map(str, self._recorded()))}; change "
                "the sweep back, or choose another out"
            )

    def _recorded(self) -> list[Any]:
        """Returns the words that the folder was filled by; none if it does not tell."""
        try:
            words = read_json(self.record)
        except ConfigurationError:
            return []
        return words if isinstance(words, list) else []
