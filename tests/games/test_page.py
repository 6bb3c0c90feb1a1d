"""The tables of docs/games.md."""

import json
import shlex

import pytest
from click.testing import CliRunner
from PIL import Image

from hvd_qgenx.cli import main
from hvd_qgenx.games import page
from tests.documents import ROOT

SMALL = """game bilinear --method sgda --method qgenx-de --compressor none --compressor nuqsgd:bits=4 --noise none
    --workers 1 --workers 2 --iterations 20 --seeds 2 --jobs 1"""


def test_tables_are_written_in_place(tmp_path):
    run, written = tmp_path / "run", tmp_path / "games.md"
    assert CliRunner().invoke(main, [*shlex.split(SMALL), "--out", str(run)]).exit_code == 0
    (tmp_path / "images").mkdir()
    written.write_text(f"before\n{page.BEGIN}old\n{page.END}after\n")
    page.write(run, written)
    text = written.read_text()
    assert text.startswith(f"before\n{page.BEGIN}")
    assert text.endswith(f"{page.END}after\n")
    assert "old" not in text
    assert "plays 16 games. Gap of the average at t = 10 / 20, mean of 2 seeds" in text
    assert text.count("| noise, K | `sgda` | `qgenx-de` |") == 2
    case = next(
        each
        for each in json.loads((run / "summary.json").read_text())["cases"]
        if (each["method"], each["compressor"], each["workers"]) == ("qgenx-de", "nuqsgd:bits=4", 2)
    )
    gaps = " / ".join(f"{at['mean']:.2g}" for at in case["gap"].values())
    row = next(line for line in text.partition("**`nuqsgd:bits=4`**")[2].splitlines() if line.startswith("| none, 2"))
    assert row.endswith(f"| {gaps} ({case['slope']:.2f}) |")
    with Image.open(tmp_path / "images/games.png") as copied, Image.open(run / "bilinear.png") as drawn:
        assert copied.size == drawn.size
    page.write(run, written)
    assert written.read_text() == text


def test_a_page_without_a_place_for_them_is_left_alone(tmp_path):
    (tmp_path / "games.md").write_text("nothing")
    with pytest.raises(ValueError, match="has no lines"):
        page.write(tmp_path, tmp_path / "games.md")
    assert (tmp_path / "games.md").read_text() == "nothing"


def test_the_page_is_of_the_command():
    text = (ROOT / page.PAGE).read_text()
    assert "".join(f"    {line}\n" for line in page.COMMAND.splitlines()) in text
