"""Neighbour exchanges over MPI and over Horovod, under the real horovodrun; in-process ranks say what is right."""

import json
import sys
from pathlib import Path

import pytest

from hvd_qgenx.transport import inprocess
from tests import launch
from tests.multiprocess import neighbours

PROGRAM = str(Path(__file__).with_name("neighbours.py"))

pytestmark = pytest.mark.horovod


@pytest.mark.parametrize("ranks", [2, 3])
def test_neighbour_exchanges_agree_with_threads(ranks, tmp_path):
    file = tmp_path / "horovod.json"
    done = launch.run(launch.horovodrun(ranks, sys.executable, PROGRAM, str(file)))
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text())
    assert results["found"] == json.loads(json.dumps(inprocess.run(ranks, neighbours.found_on)))
    assert results["stalled"].startswith("gradients: waited ")
    assert results["stalled"].endswith(" s for ranks 1")  # not for rank 2, which has sent its part
