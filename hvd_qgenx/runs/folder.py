"""The files of a run, and atomic writes."""

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import read_json
from hvd_qgenx.runs import table
from hvd_qgenx.runs.lock import Lock

_locks: dict[Path, Lock] = {}
"""The folders that this process has reserved."""


LAYERS = "layers.json"
"""The file beside saved gradients that has the kind of layer of every tensor, by name."""
DRAFT = ".draft"
"""The end of the name of a file that is being written."""


class RunFolder:
    """The files of one run; written by rank 0 only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.csv"
        self.scores = path / "scores.csv"
        self.evaluation = path / "evaluation.csv"
        self.levels = path / "levels.csv"
        self.ranks = path / "ranks.csv"
        self.gradients = path / "gradients"
        self.events = path / "tensorboard"
        self.samples = path / "samples"
        self.checkpoint = path / "checkpoint.pt"
        self.summary = path / "summary.json"
        self.divergence = path / "diverged.json"

    def reserve(self, again: bool = False) -> None:
        """Makes the folder for a new run or, with ``again``, for one that continues, possibly on another host.

        Until ``release``, no other process can reserve it.

        Raises:
            ConfigurationError: it holds a run already, another process has reserved it, it cannot be written to, or
                a table of the run that continues is damaged.
        """
        self._reserve(again, f"continue it with --resume {self.path}, or choose another --out")

    def _reserve(self, again: bool, advice: str) -> None:
        self._require_new(again, advice)
        for path in (self.metrics, self.scores, self.levels, self.ranks) if again else ():
            table.check(path)
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
            self._lock()
        except OSError as error:
            raise ConfigurationError(f"cannot write to {self.path}: {error.strerror}; choose another --out") from error
        try:
            self._require_new(again, advice)  # another process may have had the folder until now
        except ConfigurationError:
            self.release()
            raise

    def _require_new(self, again: bool, advice: str) -> None:
        if self.config.exists() and not again:
            raise ConfigurationError(f"{self.path} already holds a run; {advice}")

    def _lock(self) -> None:
        """Locks the folder, unless this process has it: a run begins again in it when other ranks form."""
        place = self.path.resolve()
        if place not in _locks:
            _locks[place] = Lock(self.path, "a run")
            for draft in self.path.glob(f".*{DRAFT}"):  # of a process that was killed
                draft.unlink(missing_ok=True)

    def release(self) -> None:
        """Lets other processes reserve the folder."""
        lock = _locks.pop(self.path.resolve(), None)
        if lock is not None:
            lock.release()

    def create(self, config: dict[str, Any]) -> None:
        """Reserves the folder of a new run that cannot be continued, and writes its configuration.

        Raises:
            ConfigurationError: as ``reserve``.
        """
        self._reserve(False, "choose another --out")
        write_json(self.config, config)

    def read_config(self) -> dict[str, Any]:
        """Returns the configuration of an earlier run.

        Raises:
            ConfigurationError: there is none, or it cannot be read.
        """
        if not self.config.exists():
            raise ConfigurationError(f"{self.path} holds no run: it has no {self.config.name}")
        config = read_json(self.config)
        if not isinstance(config, dict):
            raise ConfigurationError(f"{self.config} is not the configuration of a run")
        return config


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically."""
    write_atomically(path, lambda file: file.write((json.dumps(value, indent=2) + "\n").encode()))


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Replaces ``path`` by the content that ``write`` writes, or leaves it unchanged.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{DRAFT}")
    try:
        with naming(path), open(draft, "xb", opener=_without_links) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to errors of the file system; a failed write, as on a full disk, does not name it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
