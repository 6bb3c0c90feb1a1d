"""An elastic run over three hosts: a rank is killed, two go on, the host comes back. See ``elastic``."""

import copy
import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from hvd_qgenx.runs import checkpoint
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.tasks.gan.task import GanTask
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess
from tests.cluster.elastic import COMMIT_EVERY, PATIENCE, ElasticJob, lose_and_regain
from tests.cluster.hosts import missing, three_hosts
from tests.launch import until

pytestmark = pytest.mark.horovod

SETTINGS = {"filters": 4, "batch_size": 6, "latent": 8, "compressor": "alq", "levels_at": "0,15,60"}
OPTIONS = [word for name, value in SETTINGS.items() for word in ("--" + name.replace("_", "-"), str(value))]


@pytest.mark.usefixtures("one_thread")
def test_a_killed_rank_costs_little_and_its_host_is_used_again(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    with three_hosts("1gbit", tmp_path / "hosts") as hosts:
        job = ElasticJob(hosts, tmp_path, "gan", *OPTIONS, "--updates", "1000000", "--checkpoint-every", "20")
        lose_and_regain(job, 15)
        formations = job.formations()
        goal = formations[2]["update"] + 20
        until(lambda: written(job.run)["move"] >= 2 * goal, PATIENCE, f"the checkpoint of update {goal}")
        found = written(job.run)
    assert [each["ranks"] for each in formations] == [3, 2, 3]
    assert [each["lost_updates"] <= COMMIT_EVERY for each in formations] == [True] * 3
    assert formations[2]["lost_updates"] == 0
    updates = [int(row["update"]) for row in csv.DictReader((job.run / "metrics.csv").read_text().splitlines())]
    assert updates == list(range(1, len(updates) + 1))
    expected = replayed([(int(each["ranks"]), int(each["update"])) for each in formations], found["move"] // 2)
    for player in ("generator", "discriminator"):
        assert all(torch.equal(found[player][name], value) for name, value in expected[player].items())


def written(run: Path) -> dict[str, Any]:
    """The run's checkpoint."""
    return checkpoint.load(run / "checkpoint.pt", GanTask.kind)


def replayed(formations: list[tuple[int, int]], last: int) -> dict[str, Any]:
    """The state of the same run in one process, with so many ranks from each of these updates on."""
    state: dict[str, Any] = {}
    ends = [*(update for _, update in formations[1:]), last]
    for (ranks, _), end in zip(formations, ends, strict=True):
        state = inprocess.run(ranks, lambda transport, state=state, end=end: train(transport, state, end))[0]
    return state


def train(transport: inprocess.InProcess, state: dict[str, Any], end: int) -> dict[str, Any]:
    config = GanConfig(**SETTINGS).completed()
    images = GanTask.load(config, transport, download=False)
    trainer = Trainer(GanTask(config, images, transport))
    if state:
        trainer.load_state_dict(resized(copy.deepcopy(state), transport.size))
    while trainer.updates < end:
        trainer.advance()
    return trainer.state_dict()
