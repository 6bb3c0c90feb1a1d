"""The same call in one process and under the real horovodrun finds the same numbers."""

import pytest

from hvd_qgenx.tasks.logistic.registry import METHODS
from tests import launch

pytestmark = pytest.mark.horovod

OPTIONS = ["--workers", "5", "--seeds", "2", "--iterations", "20", "--split", "sorted", "--json"]
NAMES = [word for name in (*METHODS, "choco+qg", "beer") for word in ("--method", name)]
SENT = ["--compressor", "minmax:bits=3", "--compressor", "topk"]


def test_processes_and_ranks_find_the_same_numbers(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    for command in (
        [launch.COMMAND, "logistic", *OPTIONS, *NAMES, *SENT, "--out", str(alone)],
        launch.horovodrun(3, launch.COMMAND, "logistic", *OPTIONS, *NAMES, *SENT, "--out", str(together)),
    ):
        done = launch.run(command)
        assert done.returncode == 0, done.stderr
    for name in ("logistic.csv", "summary.json", "config.json"):
        assert (alone / name).read_text() == (together / name).read_text()
