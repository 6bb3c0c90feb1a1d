"""Runs whose ranks gossip: what they score, keep, and go on from."""

import copy

import pytest
import torch

from hvd_qgenx.data import InMemory
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.tasks.classify.settings import ClassifyConfig
from hvd_qgenx.tasks.classify.task import ClassifyTask, Parts
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.run import DISTANCE, Run
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import inprocess

SETTINGS = {
    **{"model": "resnet8", "batch_size": 16, "updates": 9, "compress_from": 32, "compressor": "sign"},
    **{"mixing": "choco", "consensus_step_size": 0.4, "checkpoint_every": 3.0, "evaluate_every": 0.0},
}


def images(count: int, seed: int) -> InMemory:
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 1, 8, 8), generator=random)
    return InMemory("noise", pixels.to(torch.uint8), torch.arange(count) % 7)


PARTS = Parts(images(64, 0), images(41, 1))


def trainer(transport, **changes) -> Trainer:
    config = ClassifyConfig(**{**SETTINGS, **changes}).completed()
    return Trainer(ClassifyTask(config, PARTS, transport))


def finished(transport, folder, **changes):
    """Summary of a whole run, and this rank's own parameters."""
    run = Run(trainer(transport, **changes), RunFolder(folder))
    if run.writes:
        run.folder.path.mkdir(exist_ok=True)
    summary = run.train()
    return summary, torch.cat([p.detach().flatten() for p in run.task.model.parameters()])


def test_scores_are_of_the_mean_and_of_every_rank(tmp_path):
    found = inprocess.run(4, lambda transport: finished(transport, tmp_path / "run", average_at_end="no"))
    summary, _ = found[0]
    scores = summary["scores"]
    for name in ("top1", "test_loss"):
        assert scores[f"{name}/local_least"] <= scores[f"{name}/local_mean"] <= scores[f"{name}/local_greatest"]
    assert scores["test_loss/local_least"] < scores["test_loss/local_greatest"]
    assert scores[DISTANCE] > 0
    sent = summary["bytes_by_link"]
    assert set(sent) == {f"{one} to {(one + way) % 4}" for one in range(4) for way in (1, 3)}
    assert sent["0 to 1"] + sent["0 to 3"] == summary["bytes_sent"]
    vectors = torch.stack([vector for _, vector in found])
    assert not torch.equal(vectors[0], vectors[1])
    kept = checkpoint.load(tmp_path / "run" / "checkpoint.pt", ClassifyTask.kind)["model"]
    names = [name for name, _ in trainer(inprocess.InProcess()).task.model.named_parameters()]
    torch.testing.assert_close(torch.cat([kept[name].flatten() for name in names]), vectors.mean(0))


def test_a_run_ends_with_an_exact_average(tmp_path):
    found = inprocess.run(3, lambda transport: finished(transport, tmp_path / "run"))
    for summary, vector in found:
        assert torch.equal(vector, found[0][1])
        assert summary["scores"][DISTANCE] > 0  # as ranks were before


def test_a_found_step_size_that_barely_mixes_is_told_of():
    def told(transport, **changes):
        run = trainer(transport, **{"model": "mlp", "consensus_step_size": None, **changes})
        return run.gossip.describe(run.optimizers[0])

    lossy = {"compressor": "uniform", "topology": "one-peer-exponential", "momentum": 0.0, "quasi_global_momentum": 0.9}
    assert "ranks barely mix" in inprocess.run(4, lambda transport: told(transport, **lossy))[0]
    assert "barely" not in inprocess.run(4, lambda transport: told(transport, **{**lossy, "compressor": "minmax"}))[0]
    assert "barely" not in inprocess.run(4, lambda transport: told(transport, **lossy, consensus_step_size=1e-3))[0]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "changes",
    [
        {"topology": "one-peer-exponential", "momentum": 0.0, "quasi_global_momentum": 0.9},
        {"mixing": "beer", "compressor": "minmax", "gossip_order": "wait"},
        {"mixing": "dpsgd", "compressor": "none", "topology": "random-matching", "average_every": 2},
    ],
    ids=str,
)
def test_checkpoints_go_on_bit_for_bit(changes):
    def work(transport, state, updates):
        run = trainer(transport, **changes)
        if state:
            run.load_state_dict(copy.deepcopy(state))
        while run.updates < updates:
            run.advance()
        return run.state_dict(), run.replica_hash()

    whole = inprocess.run(4, lambda transport: work(transport, None, 6))[0][1]
    half = inprocess.run(4, lambda transport: work(transport, None, 3))[0][0]
    assert inprocess.run(4, lambda transport: work(transport, half, 6))[0][1] == whole


def test_ranks_that_come_start_from_the_mean():
    def before(transport):
        run = trainer(transport)
        for _ in range(3):
            run.advance()
        return run.state_dict()

    state = inprocess.run(3, before)[0]
    names = [name for name, _ in trainer(inprocess.InProcess()).task.model.named_parameters()]

    def after(transport):
        run = trainer(transport)
        run.load_state_dict(resized(copy.deepcopy(state), transport.size))
        loaded = {name: p.detach().clone() for name, p in run.task.model.named_parameters()}
        for _ in range(3):
            run.advance()
        run.replica_hash()  # both ends of every link agree
        return loaded

    for ranks in (2, 5):
        found = inprocess.run(ranks, after)
        for loaded in found[3:]:
            assert all(torch.equal(loaded[name], state["model"][name]) for name in names)
        assert not torch.equal(found[0][names[0]], found[1][names[0]])


def test_a_step_size_is_found_where_none_is_given():
    def work(transport):
        return trainer(transport, consensus_step_size=None).optimizers[0].gossip.consensus_step_size

    found = inprocess.run(4, work)
    assert len(set(found)) == 1
    assert 0.1 < found[0] < 0.9


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"topology": "hypercube"}, "a hypercube needs a power of two"),
        ({"mixing": "none"}, "consensus_step_size is for gossip; give a --mixing"),
        ({"optimizer": "extra-sgd"}, "makes two moves"),
        ({"feedback": "error"}, "feedback is for averages of gradients"),
        ({"exchange": "two-phase"}, "exchange is for averages of gradients"),
        ({"quasi_global_momentum": 0.9}, "give --momentum 0"),
        ({"score_weights": "raw,ema"}, "score_weights other than raw"),
        ({"mixing": "dpsgd"}, "sends vectors uncompressed"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(changes, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        ClassifyConfig(**{**SETTINGS, **changes}).check(6)
