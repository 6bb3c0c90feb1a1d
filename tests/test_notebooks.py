"""Notebooks in examples/ run, and are committed with small outputs of a run."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests import launch

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
MOST = 300_000
"""Bytes of a notebook with its pictures, so that code hosts render it."""


def shown(notebook: Any) -> list[list[str]]:
    """Returns what kinds of outputs every cell of code has."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sorted({kind for output in cell.outputs for kind in output.get("data", ["text"])}) for cell in cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_shows_what_it_was_committed_with(path: Path, monkeypatch: pytest.MonkeyPatch):
    committed, run = (nbformat.read(path, 4) for _ in range(2))
    assert path.stat().st_size <= MOST
    for name, value in launch.environment().items():
        monkeypatch.setenv(name, value)
    NotebookClient(run, timeout=launch.TIMEOUT).execute()  # raises what a cell raises
    assert shown(run) == shown(committed)
    assert any("image/png" in kinds for kinds in shown(run))
