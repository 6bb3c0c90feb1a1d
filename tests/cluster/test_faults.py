"""What becomes of a run when a rank is killed, frozen, cut off, or asked to end: some of the faults of ``faults``."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import faults
from tests.cluster.hosts import Hosts, missing, three_hosts

pytestmark = pytest.mark.horovod

CUT_OFF = r"Error: rank 1 on host b (has not been heard of|did not join)"
CASES = [
    ("kill -9, random rank, random update (1)", None, r"mpirun noticed that process rank \d .* signal 9"),
    ("rank 1 frozen for good", 1, CUT_OFF),
    ("host b off the network for good", None, CUT_OFF),
    ("SIGTERM to rank 2", 143, r"Stopped by SIGTERM after update \d+; go on with: hvd-qgenx gan --resume"),
    (f"rank 1 frozen for {faults.LIMIT // 2} s", 0, None),
]
"""The last does not end a run; a run that goes on suffers the others one after the other."""
SEED = 314
"""Of a generator with which all faults come before the last update."""


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
def outcomes(hosts: Hosts, folder: Path) -> dict[str, faults.Outcome]:
    """What became of one run to which most faults happened, and of one to which the last did."""
    chance, found = random.Random(SEED), {}
    for number, (name, _, _) in enumerate(CASES):
        (fault,) = (fault for fault in faults.FAULTS if fault.what == name)
        run = folder / ("delayed" if fault.what == CASES[-1][0] else "resumed")
        found[name] = faults.suffer(hosts, fault, run, folder / f"{number}.log", chance)
    return found


@pytest.mark.parametrize(("name", "code", "sentence"), CASES, ids=[name for name, _, _ in CASES])
def test_a_run_survives(outcomes: dict[str, faults.Outcome], name: str, code: int | None, sentence: str | None) -> None:
    """It ends in time, says why, and leaves nothing behind."""
    found = outcomes[name]
    assert found.code is not None
    assert found.code == code if code is not None else found.code != 0
    assert len([line for line in found.told if sentence and re.search(sentence, line)]) == (sentence is not None)
    assert found.tracebacks == 0
    assert found.left == []
    assert found.broken == []


@pytest.mark.usefixtures("outcomes")
def test_it_goes_on_as_if_nothing_had_happened(hosts: Hosts, folder: Path) -> None:
    """Also on one host in the end, as the run does that nothing happens to."""
    whole, *others = (
        faults.finish(hosts, folder / name, folder / f"{name}.log") for name in ("whole", "delayed", "resumed")
    )
    assert others == [whole] * 2
