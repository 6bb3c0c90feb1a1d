"""Averaged weights against sums written out, and statistics of batch norm that fit their weights."""

import copy

import pytest
import torch
from torch import nn

from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.tasks.gan.generation import ESTIMATE_BATCHES, ESTIMATE_SIZE, Inputs, with_statistics
from hvd_qgenx.tasks.gan.models import build
from hvd_qgenx.training.averages import Averages


class Point(nn.Module):
    """A generator with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(100.0))


def visit(averages: Averages, point: Point, half_steps: list[float], steps: list[float]) -> None:
    for half_step, step in zip(half_steps, steps, strict=True):
        point.x.data.fill_(half_step)
        averages.before_update(point)
        point.x.data.fill_(step)
        averages.after_update(point)


def values(averages: Averages) -> dict[str, float]:
    return {name: averages.module(name).x.item() for name in ("ema", "uniform", "ergodic")}


def test_averages_are_those_of_their_definitions():
    point = Point()
    averages = Averages(point, decay=0.9)
    visit(averages, point, [1.0, 2.0, 6.0], [10.0, 20.0, 60.0])
    assert values(averages) == pytest.approx(
        {"ema": 0.9 * (0.9 * 10 + 0.1 * 20) + 0.1 * 60, "uniform": 30.0, "ergodic": 3.0}
    )


def test_averages_go_on_from_their_state():
    point = Point()
    whole, first, second = (Averages(point, decay=0.5) for _ in range(3))
    visit(whole, point, [1.0, 2.0, 6.0], [10.0, 20.0, 60.0])
    visit(first, point, [1.0, 2.0], [10.0, 20.0])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    visit(second, point, [6.0], [60.0])
    assert values(second) == values(whole)


def generator(norm: str, classes: int = 0) -> nn.Module:
    sizes = {"channels": 1, "side": 8, "filters": 4, "latent": 6, "classes": classes}
    made = build.make("dcgan", generator_norm=norm, discriminator_norm="none", **sizes).generator
    build.initialize(made, 1)
    return made


def test_statistics_are_those_of_the_weights():
    """The first norm sees latents through one linear layer: mean and variance can be had without it."""
    model = generator("batch")
    model(100 * torch.randn(50, 6))  # running statistics of something else
    before = copy.deepcopy(model.state_dict())
    found = with_statistics(model, Inputs(6), seed=3)
    norm = next(module for module in found.modules() if isinstance(module, nn.BatchNorm1d))
    batches = [
        Inputs(6).draw(ESTIMATE_SIZE, 3, RandomStream.NORMALIZATION, batch)[0] for batch in range(ESTIMATE_BATCHES)
    ]
    linear = next(module for module in found.modules() if isinstance(module, nn.Linear))
    outputs = torch.stack([linear(batch) for batch in batches]).double()
    torch.testing.assert_close(norm.running_mean.double(), outputs.mean((0, 1)), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(norm.running_var.double(), outputs.var(1).mean(0), rtol=1e-5, atol=1e-9)
    assert not found.training
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_batch_norm_a_copy_is_all():
    model = generator("layer")
    found = with_statistics(model, Inputs(6), seed=3)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in found.state_dict().items())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_draws_are_functions_of_their_words():
    before = torch.get_rng_state()
    inputs = Inputs(6, (1, 1, 1))
    (one, labels), (again, same), (other, _) = (inputs.draw(50, *words) for words in ((1, 2), (1, 2), (1, 3)))
    assert torch.equal(one, again)
    assert torch.equal(labels, same)
    assert not torch.equal(one, other)
    assert labels.unique().tolist() == [0, 1, 2]
    assert Inputs(6).draw(50, 1, 2)[1] is None
    assert torch.equal(before, torch.get_rng_state())
