"""What a run says before it trains."""

import pytest

from hvd_qgenx.cli.training import _remarks
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.training.launch import Plan, start
from hvd_qgenx.transport import inprocess


@pytest.mark.parametrize(("compressor", "told"), [("minmax", True), ("fp16", False), ("none", False)])
@pytest.mark.parametrize(("ranks", "hosts"), [(3, 1), (2, 2), (1, 1)])
def test_ranks_on_one_host_are_told_that_compression_is_slower(tmp_path, compressor, told, ranks, hosts):
    config = GanConfig(batch_size=6, filters=4, latent=8, compressor=compressor).completed()

    def work(transport):
        plan = Plan(config, {}, resumed=None, stored=None)
        return list(_remarks(start(transport, plan, tmp_path / "run", {"preset": None, "link": None})))

    for said in inprocess.run(ranks, work, hosts=hosts):
        assert ("all ranks are on one host" in said[-1]) == (told and ranks > hosts)
