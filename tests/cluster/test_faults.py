"""What becomes of a run when a rank is killed, frozen, cut off, or asked to end: some of the faults of ``faults``."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import faults
from tests.cluster.hosts import Hosts, missing, three_hosts

pytestmark = pytest.mark.horovod

CASES = [
    ("kill -9, random rank, random update (1)", None, r"mpirun noticed that process rank \d .* signal 9"),
    ("rank 1 frozen for good", 1, r"Error: rank 1 on host b (has not been heard of|did not join)"),
    (f"rank 1 frozen for {faults.LIMIT // 2} s", 0, None),
    ("host b off the network for good", None, r"Error: rank 1 on host b (has not been heard of|did not join)"),
    (
        "SIGTERM to rank 2",
        143,
        r"Stopped by SIGTERM after update \d+; go on with: horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan --resume",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def hosts(folder: Path) -> Iterator[Hosts]:
    if reason := missing():
        pytest.skip(reason)
    with three_hosts("1gbit", folder / "hosts") as up:
        yield up


@pytest.fixture(scope="module")
def whole(hosts: Hosts, folder: Path) -> str:
    """The hash of a run that nothing happens to."""
    return faults.finish(hosts, folder / "whole" / "run", folder / "whole.log")


@pytest.mark.parametrize(("name", "code", "sentence"), CASES, ids=[name for name, _, _ in CASES])
def test_a_run_survives(hosts: Hosts, folder: Path, whole: str, name: str, code: int | None, sentence: str | None):
    """It ends in time, says why, leaves nothing behind, and goes on as if nothing had happened."""
    (fault,) = (fault for fault in faults.FAULTS if fault.what == name)
    found = faults.suffer(hosts, fault, folder / re.sub(r"\W+", "-", name), random.Random(name), whole)
    assert found.code is not None
    assert found.code == code if code is not None else found.code != 0
    assert len([line for line in found.told if sentence and re.search(sentence, line)]) == (sentence is not None)
    assert found.tracebacks == 0
    assert found.left == []
    assert found.broken == []
    assert found.same
