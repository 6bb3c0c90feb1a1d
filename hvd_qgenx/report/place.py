"""The folder of a page, and the runs that the page in it shows."""

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs.folder import write_json

PAGE = "index.html"
RECORD = "runs.json"
"""The file with the folders of the runs that a page shows, relative to its own."""


def choose(out: Path | None, runs: Sequence[Path]) -> tuple[Path, list[str]]:
    """Makes the folder for the page of these runs; returns it, with sentences on a page of other runs.

    Without ``out``, it is ``report`` in the common folder of the runs, or here if the root is all they share. A page of
    other runs is kept there, and this one goes to ``report-2``, or the next that is free.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    if out is not None:
        _make(out)
        return out, [f"The page in {out} was one of other runs, and is replaced."] if _shows_others(out, runs) else []
    common = Path(os.path.commonpath([run.resolve().parent for run in runs]))
    first = (Path() if common == Path(common.anchor) else common) / "report"
    later = (first.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    folder = next(folder for folder in itertools.chain([first], later) if not _shows_others(folder, runs))
    _make(folder)
    return folder, [f"{first} holds the page of other runs; this one is in {folder}."] if folder != first else []


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error


def _shows_others(folder: Path, runs: Sequence[Path]) -> bool:
    """Tells whether there is a page that shows, or may show, runs that are not among these."""
    if not (folder / PAGE).exists():
        return False
    try:
        shown = json.loads((folder / RECORD).read_text())
        return not shown or not {(folder / name).resolve() for name in shown} <= {run.resolve() for run in runs}
    except (OSError, ValueError, TypeError, RecursionError):
        return True


def record(folder: Path, runs: Sequence[Path]) -> None:
    """Notes the runs that the page in this folder shows."""
    here = folder.resolve()
    write_json(folder / RECORD, [os.path.relpath(run.resolve(), here) for run in runs])
