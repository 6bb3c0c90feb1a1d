"""A run whose ranks come and go."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hvd_qgenx.runs import MetricsLog, checkpoint
from hvd_qgenx.training.launch import Stored
from hvd_qgenx.training.run import Run
from hvd_qgenx.transport import Transport

if TYPE_CHECKING:
    from hvd_qgenx.transport.elastic import Committed

COLUMNS = ("ranks", "hosts", "lost_updates")


class ElasticRun:
    """Trains with the ranks that are there; for ``transport.elastic``.

    Args:
        begin: makes the run for these ranks: a new one, or one that goes on in a folder from a state. Collective.
        commit_every: updates between two commits.
    """

    def __init__(self, begin: Callable[[Transport, Path | None, Stored | None], Run], commit_every: int) -> None:
        self._begin, self._commit_every = begin, commit_every
        self._reached = 0.0
        """The update at which this process has been."""

    def train(self, transport: Transport, committed: "Committed") -> tuple[Run, dict[str, Any]]:
        """Trains to the end; returns the run and its summary."""
        folder, stored = _unpacked(committed.value)
        run = self._begin(transport, folder, stored)
        self._log_ranks(run)

        def after_update(run: Run) -> None:
            self._reached = run.trainer.updates
            if self._reached % self._commit_every == 0:
                committed.put(_packed(run))

        if stored is None:  # from here on the run exists, and is not to begin again
            committed.put(_packed(run))
        run.after_update = after_update
        return run, run.train()

    def _log_ranks(self, run: Run) -> None:
        """Writes a row to ranks.csv when a new set of ranks has formed."""
        transport, update = run.trainer.transport, run.trainer.updates
        hosts = len(transport.hosts())
        if not run.writes:
            return
        log = MetricsLog(run.folder.ranks, run.folder.events / "ranks", COLUMNS, update)
        lost = max(0.0, self._reached - update)
        log.write(int(update), {"ranks": transport.size, "hosts": hosts, "lost_updates": lost})
        log.close()


def _packed(run: Run) -> dict[str, Any]:
    return {
        "folder": str(run.folder.path),
        "config": run.record,
        "state": checkpoint.to_bytes(run.state_dict()),
    }


def _unpacked(value: dict[str, Any] | None) -> tuple[Path | None, Stored | None]:
    if value is None:
        return None, None
    return Path(value["folder"]), {"config": value["config"], "state": checkpoint.from_bytes(value["state"])}
