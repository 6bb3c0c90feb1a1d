"""hvd-qgenx doctor over three hosts; see ``hosts``. How near it comes is told by ``predictions``."""

import json
from pathlib import Path

import pytest

from tests.cluster.hosts import missing, three_hosts

pytestmark = pytest.mark.horovod

STARTING = 3e6
"""Bytes that a host may send for ssh, MPI, and to find out what to do."""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    if reason := missing():
        pytest.skip(reason)


def test_hosts_are_named_and_bytes_are_bounded(tmp_path: Path) -> None:
    file, log = tmp_path / "found.json", tmp_path / "log"
    with three_hosts("1gbit", tmp_path / "hosts") as hosts:
        before = [host.bytes_sent() for host in hosts]
        limits = ("--seconds", "5", "--megabytes", "10", "--expect-ranks", "3", "--expect-hosts", "3")
        code = hosts.horovodrun("hvd-qgenx", "doctor", *limits, "--json", str(file), log=log).wait(timeout=240)
        assert code == 0, log.read_text()
        counted = [host.bytes_sent() - sent for host, sent in zip(hosts, before, strict=True)]
    measured = json.loads(file.read_text())["measurement"]
    assert (measured["ranks"], measured["hosts"]) == (3, 3)
    assert [pair["between"] for pair in measured["links"]["pairs"]] == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert len(measured["forecasts"]) == 10
    assert measured["bytes_sent"] <= 10e6
    assert max(counted) <= 10e6 + STARTING
    assert "hvd-qgenx gan --compressor " in log.read_text()
