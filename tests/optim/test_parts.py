"""Moves of large parameters, which are made part by part."""

import pytest
import torch

from hvd_qgenx.optim import ExtraAdam, ExtraSGD, OptimisticAdam, OptimisticSGD, PastExtraAdam, PastExtraSGD, rules

RULES = [
    (ExtraSGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    (ExtraSGD, {"lr": 0.1}),
    (PastExtraSGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (OptimisticSGD, {"lr": 0.1, "momentum": 0.5}),
    (ExtraAdam, {"amsgrad": True, "weight_decay": 0.1}),
    (PastExtraAdam, {}),
    (OptimisticAdam, {"epsilon_place": "before"}),
]


def train(kind, options, dtype):
    """Returns parameters and state after three iterations, the second of them without a gradient of the first one."""
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in ((32, 50), (1601,), (2, 8, 10, 10))]
    parameters[2].data = parameters[2].data.to(memory_format=torch.channels_last)
    optimizer = kind(parameters, **options)
    for iteration in range(3):
        for move in optimizer.moves():
            for parameter in parameters:
                parameter.grad = torch.randn_like(parameter)
            if iteration == 1:
                parameters[0].grad = None
            move()
    return [p.detach() for p in parameters], [optimizer.state[p] for p in parameters]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kind", "options"), RULES)
@pytest.mark.parametrize("part", [64, 1600, 1601])
def test_parts_move_as_the_whole_does(kind, options, dtype, part, monkeypatch):
    whole, whole_state = train(kind, options, dtype)
    monkeypatch.setattr(rules, "PART", part)
    parts, state = train(kind, options, dtype)
    for one, other in zip(parts, whole, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(state, whole_state, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name])) for name in one)


@pytest.mark.parametrize(("part", "lengths"), [(64, [64, 64, 32]), (100, [100, 60]), (160, [160]), (200, [160])])
def test_parts_cover_a_parameter_once(part, lengths, monkeypatch):
    monkeypatch.setattr(rules, "PART", part)
    parameter, gradient, memory = torch.arange(160.0).view(8, 20), torch.zeros(8, 20), torch.zeros(8, 20)
    found = list(rules.in_parts(parameter, gradient, {"memory": memory, "step": 3}))
    assert [each.numel() for each, _, _ in found] == lengths
    assert torch.equal(torch.cat([each.flatten() for each, _, _ in found]), torch.arange(160.0))
    for _, _, values in found:
        values["memory"].add_(1)
        assert values["step"] == 3
    assert torch.equal(memory, torch.ones(8, 20))
