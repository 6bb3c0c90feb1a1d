"""Logs the metrics of a run, as CSV and for TensorBoard."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from hvd_qgenx.runs import table
from hvd_qgenx.runs.folder import naming, write_atomically


class MetricsLog:
    """Appends one row for every call of ``write``; the first column is the update.

    Args:
        path: the CSV file. Rows after ``start`` left by an interrupted run are dropped.
        events: folder for TensorBoard.
        columns: names of the values, besides ``update``.
        start: the update from which this run continues.
        label: name of a second column, for what a row is about if an update has several.
    """

    def __init__(
        self, path: Path, events: Path, columns: tuple[str, ...], start: float = 0, label: str | None = None
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter  # only the writing rank needs this slow import

        self._path, self._events_folder, self._label = path, events, label
        columns = ("update", *([label] if label else ()), *columns)
        if path.exists() and path.stat().st_size:
            _drop_rows_after(path, start)
            self._file = path.open("a", newline="")
            self._csv = csv.DictWriter(self._file, columns, lineterminator="\n")
        else:
            self._file = path.open("w", newline="")
            self._csv = csv.DictWriter(self._file, columns, lineterminator="\n")
            self._csv.writeheader()
            self._file.flush()
        self._events = SummaryWriter(str(events), purge_step=int(start) + 1 if start else None)

    def write(self, update: int, values: Mapping[str, float], about: str = "") -> None:
        """Appends the values after an update, to both files; a CSV row is on disk when this returns.

        TensorBoard has those of a row with a label as LABEL/NAME.
        """
        label = {self._label: about} if self._label else {}
        with naming(self._path):
            self._csv.writerow({"update": update, **label, **values})
            self._file.flush()
        with naming(self._events_folder):
            for name, value in values.items():
                self._events.add_scalar(f"{about}/{name}" if label else name, value, update)

    def flush(self) -> None:
        """Writes TensorBoard's pending events, which are otherwise written every two minutes."""
        with naming(self._events_folder):
            self._events.flush()

    def close(self) -> None:
        """Closes both files."""
        try:
            with naming(self._path):
                self._file.close()
        finally:
            with naming(self._events_folder):
                self._events.close()


def _drop_rows_after(path: Path, update: float) -> None:
    def copy(file: IO[bytes]) -> None:
        file.write(table.header(path).encode())
        file.writelines(line.encode() for at, line in table.rows(path) if at <= update)

    write_atomically(path, copy)
