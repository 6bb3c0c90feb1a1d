"""The same call with threads and under the real horovodrun finds the same numbers."""

import csv

import pytest
from click.testing import CliRunner

from hvd_qgenx.cli import main
from tests import launch

pytestmark = pytest.mark.horovod

OPTIONS = [
    *("--method", "qgenx-de", "--method", "qgenx-optda", "--method", "past"),
    *("--compressor", "none", "--compressor", "uniform:bits=3"),
    *("--noise", "absolute", "--iterations", "40", "--seeds", "2"),
]


@pytest.mark.usefixtures("one_thread")
def test_workers_and_ranks_find_the_same_numbers(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    done = launch.run(launch.horovodrun(4, launch.COMMAND, "game", "bilinear", *OPTIONS, "--out", str(together)))
    assert done.returncode == 0, done.stderr
    result = CliRunner().invoke(main, ["game", "bilinear", *OPTIONS, "--workers", "4", "--out", str(alone)])
    assert result.exit_code == 0, result.output
    for name in ("bilinear.csv", "summary.json", "config.json"):
        assert (alone / name).read_text() == (together / name).read_text()
    with (alone / "bilinear.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 2 * 41
    assert {row["workers"] for row in rows} == {"4"}


def test_ranks_that_are_not_the_workers_asked_for_stop(tmp_path):
    out = tmp_path / "run"
    done = launch.run(launch.horovodrun(2, launch.COMMAND, "game", "dirac-gan", "--workers", "3", "--out", str(out)))
    assert done.returncode != 0
    assert "expected 3 ranks but there are 2" in done.stderr + done.stdout
    assert not out.exists()
