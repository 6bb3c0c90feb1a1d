"""torchrun over three hosts; see ``hosts``. Replicas have the bits of ranks that are threads."""

import json
from pathlib import Path

import pytest

from hvd_qgenx.tasks.gan.settings import GanConfig
from tests import launch
from tests.cluster.hosts import Hosts, missing, three_hosts
from tests.multiprocess import threads

GAN = GanConfig(filters=4, latent=8, batch_size=9, updates=3)
GAN_OPTIONS = ("--filters", "4", "--latent", "8", "--batch-size", "9", "--updates", "3")
GOSSIP = ("classify", "--updates", "4", "--batch-size", "30", "--mixing", "choco", "--compressor", "sign")


def trained(hosts: Hosts, folder: Path, *words: str) -> dict[str, object]:
    """Runs ``hvd-qgenx`` on all three hosts; returns what its summary says of the replicas."""
    log = folder.with_suffix(".log")
    ranks = hosts.torchrun("hvd-qgenx", *words, "--expect-ranks", "3", "--out", str(folder), log=log)
    assert [rank.wait(timeout=launch.TIMEOUT) for rank in ranks] == [0, 0, 0], log.read_text()
    return replicas(folder)


def replicas(folder: Path) -> dict[str, object]:
    summary = json.loads((folder / "summary.json").read_text())
    return {what: summary[what] for what in ("ranks", "replica_hash", "bytes_sent")}


@pytest.mark.usefixtures("one_thread")
def test_replicas_are_those_of_threads(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    with three_hosts("1gbit", tmp_path / "hosts") as hosts:
        gan = trained(hosts, tmp_path / "gan", "gan", *GAN_OPTIONS)
        gossip = trained(hosts, tmp_path / "gossip", *GOSSIP)
    expected = threads.train(3, GAN, tmp_path / "threads")
    assert gan == {what: expected[what] for what in gan}
    local = tmp_path / "local"
    done = launch.run([launch.COMMAND, *GOSSIP, "--local-ranks", "3", "--out", str(local)])
    assert done.returncode == 0, done.stderr
    assert gossip == replicas(local)
