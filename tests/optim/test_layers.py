"""Levels by groups of tensors in distributed optimizers."""

import pytest
import torch
from torch import nn

import compressors
from compressors import Exempt, LayerWise
from compressors.layerwise import layer_wise
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim import layer_kinds
from hvd_qgenx.optim.layers import groups
from hvd_qgenx.transport import inprocess

K = 3


def network() -> nn.Module:
    made = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 24, 3), nn.Flatten()),
        *(nn.Linear(24 * 16, 40), nn.Linear(40, 300)),
    )
    for parameter in made.parameters():
        nn.init.zeros_(parameter)
    return made


def fill(model: nn.Module, rank: int, step: int) -> None:
    random = torch.Generator().manual_seed(100 * step + rank)
    for place, parameter in enumerate(model.parameters()):
        parameter.grad = (1 + place) * torch.randn(parameter.shape, generator=random) ** (1 + 2 * (place % 3))


def made(transport, layer_bits="global", coding="none", exchange="auto"):
    model, inner = network(), compressors.make("alq", bits=3, seed=5)
    inner = inner if coding == "none" else compressors.with_coding(inner, coding)
    compression = Exempt(LayerWise(inner, layer_kinds(model), layer_bits))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    names = model.named_parameters()
    return model, DistributedOptimizer(sgd, names, compression, exchange=exchange, transport=transport)


def train(transport, steps=4, resume_at=(), **choices):
    model, optimizer = made(transport, **choices)
    for step in range(steps):
        if step in resume_at:
            state, weights = optimizer.state_dict(), model.state_dict()
            model, optimizer = made(transport, **choices)
            model.load_state_dict(weights)
            optimizer.load_state_dict(state)
        fill(model, transport.rank, step)
        optimizer.update_levels_next = step in (1, 3)
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]), optimizer


def test_kinds_of_layers():
    kinds = {name: kind for name, kind in layer_kinds(network()).items() if name.endswith("weight")}
    assert kinds == {"0.weight": "first", "1.weight": "norm", "2.weight": "convolution", "4.weight": "linear"} | {
        "5.weight": "last"
    }
    tied = nn.ModuleDict({"in": nn.Embedding(9, 8), "rnn": nn.LSTM(8, 8), "out": nn.Linear(8, 9)})
    tied["out"].weight = tied["in"].weight
    assert layer_kinds(tied) == {"in.weight": "embedding", "out.bias": "linear"} | dict.fromkeys(
        [f"rnn.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")], "recurrent"
    )


def test_groups_by_rules_and_patterns():
    kinds = {"a.conv.weight": "convolution", "a.fc.weight": "linear", "b.fc.weight": "linear"}
    assert groups("kind", kinds) == kinds
    assert groups("tensor", kinds) == {name: name for name in kinds}
    assert groups("ends=b.*, ends=*.conv.*,rest=*", kinds) == dict(zip(kinds, ("ends", "rest", "ends"), strict=True))
    for rule, sentence in (
        ("kinds", "unknown rule for levels_by 'kinds'; did you mean 'kind'?"),
        ("x=c.*", "no tensor's name fits 'c.*'; there are a.conv.weight, a.fc.weight, b.fc.weight"),
        ("x=,y=*", "groups are NAME=PATTERN"),
        ("x=*,y", "groups are NAME=PATTERN"),
    ):
        with pytest.raises(ConfigurationError) as error:
            groups(rule, kinds)
        assert sentence in str(error.value)


@pytest.mark.parametrize("choices", [{"exchange": "two-phase"}, {"layer_bits": "equal"}, {"coding": "huffman"}])
def test_ranks_stay_equal_and_a_resumed_run_has_the_same_bits(choices):
    """Also where the widths change between two exchanges."""
    everyone = inprocess.run(K, lambda t: train(t, **choices))
    expected, optimizer = everyone[0]
    learners = layer_wise(optimizer.compression).learners
    used = {group: learner.bits for group, learner in learners.items() if learner.version}
    assert used.keys() == {"first", "convolution", "linear", "last"}
    assert (len(set(used.values())) > 1) == ("layer_bits" not in choices)
    assert optimizer.level_updates.keys() == used.keys()
    assert all(torch.equal(found, expected) for found, _ in everyone)
    assert all(other.level_updates == optimizer.level_updates for _, other in everyone)
    resumed = inprocess.run(K, lambda t: train(t, resume_at=(1, 2), **choices))
    assert all(torch.equal(found, expected) for found, _ in resumed)


def test_the_bytes_are_those_of_the_widths():
    def sent(transport):
        _, optimizer = train(transport, exchange="allgather")
        before = optimizer.report.bytes_sent
        optimizer.step()
        sizes = [
            (segment.compressor, segment.stop - segment.start)
            for segment in optimizer._gradients.buffers[0].codec.segments
        ]
        return optimizer.report.bytes_sent - before, sum(part.payload_bytes(size) for part, size in sizes)

    for found, payload in inprocess.run(K, sent):
        assert found == (K - 1) * payload


def test_names_decide_so_there_must_be_some():
    model = network()
    compression = Exempt(LayerWise(compressors.make("alq"), {"0.weight": "first"}))
    for names, sentence in (
        (None, "need the names of tensors; give named_parameters"),
        (model.named_parameters(), "no group of levels has the tensor '5.weight'; there are first"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            DistributedOptimizer(
                torch.optim.SGD(model.parameters(), lr=0.1), names, compression, transport=inprocess.InProcess()
            )


def test_players_have_groups_of_their_own():
    ones = {"a": torch.zeros(20, 20, requires_grad=True), "b": torch.zeros(20, 20, requires_grad=True)}
    compression = LayerWise(compressors.make("alq"), {"one.x": "one", "two.x": "two"})
    sgd = torch.optim.SGD([{"params": [ones["a"]], "player": "one"}, {"params": [ones["b"]], "player": "two"}], lr=0.1)
    named = [("x", parameter) for parameter in ones.values()]
    optimizer = DistributedOptimizer(sgd, named, compression, transport=inprocess.InProcess())
    used = [segment.compressor for segment in optimizer._gradients.buffers[0].codec.segments]
    assert used == list(optimizer.compression.parts.values())
