"""The same call in one process and under the real horovodrun finds the same numbers."""

import pytest

from tests import launch

pytestmark = pytest.mark.horovod

OPTIONS = ["--workers", "5", "--seeds", "2", "--iterations", "20", "--split", "sorted", "--json"]


def test_processes_and_ranks_find_the_same_numbers(tmp_path):
    launch.require_horovod()
    alone, together = tmp_path / "alone", tmp_path / "together"
    for command in (
        [launch.COMMAND, "logistic", *OPTIONS, "--out", str(alone)],
        launch.horovodrun(3, launch.COMMAND, "logistic", *OPTIONS, "--out", str(together)),
    ):
        done = launch.run(command)
        assert done.returncode == 0, done.stderr
    for name in ("logistic.csv", "summary.json", "config.json"):
        assert (alone / name).read_text() == (together / name).read_text()
