"""The record that a run leaves when its training diverges."""

from dataclasses import asdict, dataclass

from hvd_qgenx.reading import read_json
from hvd_qgenx.runs.folder import RunFolder, write_json


@dataclass(frozen=True)
class Divergence:
    """The end of a run whose training has diverged."""

    update: int
    """The last update that was finished."""
    sentence: str
    """The error that ended the run."""

    def __str__(self) -> str:
        return f"diverged after update {self.update:,}"

    def write(self, folder: RunFolder) -> None:
        """Writes the record atomically, also when several processes do so at once: the last one's stays."""
        write_json(folder.divergence, asdict(self))

    @classmethod
    def read(cls, folder: RunFolder) -> "Divergence | None":
        """Returns the record of a run; None if it has not diverged, or the record cannot be read."""
        try:
            found = read_json(folder.divergence)
            return cls(int(found["update"]), str(found["sentence"]))
        except (ValueError, KeyError, TypeError, OverflowError):
            return None
