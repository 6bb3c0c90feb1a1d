"""Losses and penalty against closed forms, each player's gradient to itself alone, phases, bfloat16."""

import itertools
import math

import pytest
import torch
from torch import nn

from compressors.random import generator as random_numbers
from hvd_qgenx.tasks.gan.losses import (
    DISCRIMINATOR_BACKWARD,
    DISCRIMINATOR_FORWARD,
    GENERATOR_BACKWARD,
    GENERATOR_FORWARD,
    PENALTY,
    PLAYERS,
    Batch,
    fill_gradients,
    gradient_penalty,
)
from hvd_qgenx.tasks.gan.models.build import initialize, make
from hvd_qgenx.tasks.gan.models.players import Players
from hvd_qgenx.tasks.gan.registry import LOSSES, MODELS


class Linear(nn.Module):
    """D(x) = <w, x>: its gradient is w everywhere."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images, labels=None):
        return images.flatten(1) @ self.weight


class Shift(nn.Module):
    """G(z) = z + theta."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([0.5, -1.0]))

    def forward(self, latents, labels=None):
        return (latents + self.theta).view(-1, 1, 1, 2)


def test_penalty_of_a_linear_critic():
    weight = torch.tensor([3.0, 4.0])
    real, fake, mixing = torch.randn(5, 1, 1, 2), torch.randn(5, 1, 1, 2), torch.rand(5, 1, 1, 1)
    penalty = gradient_penalty(Linear(weight), real, fake, mixing)
    assert float(penalty.detach()) == pytest.approx((5 - 1) ** 2)


def test_penalty_is_taken_between_real_and_generated():
    """D(x) = ||x||^2 / 2, whose gradient is x."""
    real, fake, mixing = torch.full((4, 1, 1, 1), 6.0), torch.full((4, 1, 1, 1), 2.0), torch.tensor([0, 0.25, 0.5, 1])
    penalty = gradient_penalty(lambda x: x.flatten(1).square().sum(1) / 2, real, fake, mixing.view(4, 1, 1, 1))
    assert float(penalty.detach()) == pytest.approx((1**2 + 2**2 + 3**2 + 5**2) / 4)


def test_gradients_in_closed_form():
    """Losses -<w, mean G> and <w, mean G - mean x> + c (||w|| - 1)^2."""
    generator, critic = Shift(), Linear(torch.tensor([3.0, 4.0]))
    real, latents = torch.randn(6, 1, 1, 2), torch.randn(6, 2)
    batch = Batch(real, None, latents, torch.rand(6, 1, 1, 1))
    losses = fill_gradients(Players(generator, critic), LOSSES["wgan-gp"], batch, penalty_weight=10.0, share=0.5)
    weight = critic.weight.detach()
    difference = (generator(latents) - real).detach().flatten(1).mean(0)
    torch.testing.assert_close(generator.theta.grad, -0.5 * weight)
    torch.testing.assert_close(critic.weight.grad, 0.5 * (difference + 10 * 2 * (5 - 1) * weight / 5))
    assert float(losses.discriminator) == pytest.approx(float(weight @ difference), rel=1e-5)
    assert float(losses.penalty) == pytest.approx(16, rel=1e-5)


def test_without_penalty():
    generator, critic = Shift(), Linear(torch.tensor([3.0, 4.0]))
    real, latents = torch.randn(6, 1, 1, 2), torch.randn(6, 2)
    batch = Batch(real, None, latents, torch.rand(6, 1, 1, 1))
    losses = fill_gradients(Players(generator, critic), LOSSES["wgan"], batch, penalty_weight=10.0, share=1.0)
    torch.testing.assert_close(critic.weight.grad, (generator(latents) - real).detach().flatten(1).mean(0))
    assert float(losses.penalty) == 0


# Losses by name, of one real score r and one generated f


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cross_entropy(r: float, f: float) -> tuple[float, float, float]:
    return -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)), sigmoid(r) - 1, sigmoid(f)


DISCRIMINATOR = {
    "wgan-gp": lambda r, f: (f - r, -1, 1),
    "wgan": lambda r, f: (f - r, -1, 1),
    "hinge": lambda r, f: (max(0, 1 - r) + max(0, 1 + f), -(r < 1), float(f > -1)),
    "ns-gan": cross_entropy,
    "gan": cross_entropy,
}
"""Value, derivative in r, derivative in f."""

GENERATOR = {
    "wgan-gp": lambda f: (-f, -1),
    "wgan": lambda f: (-f, -1),
    "hinge": lambda f: (-f, -1),
    "ns-gan": lambda f: (-math.log(sigmoid(f)), sigmoid(f) - 1),
    "gan": lambda f: (math.log(1 - sigmoid(f)), -sigmoid(f)),
}
"""Value and derivative."""

SCORES = (-3.0, -1.5, -0.4, 0.0, 0.7, 2.5)


def derivatives(value, *scores):
    return [float(value.detach()), *(float(each) for each in torch.autograd.grad(value, scores))]


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_derivatives(name):
    for r, f in itertools.product(SCORES, SCORES):
        real, fake = (torch.tensor([score], requires_grad=True) for score in (r, f))
        found = derivatives(LOSSES[name].discriminator(real, fake), real, fake)
        assert found == pytest.approx(DISCRIMINATOR[name](r, f), rel=1e-5, abs=1e-6)
        assert derivatives(LOSSES[name].generator(fake), fake) == pytest.approx(GENERATOR[name](f), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_means_over_the_batch(name):
    real, fake, loss = torch.tensor(SCORES), torch.tensor(SCORES).flip(0), LOSSES[name]
    each = [(loss.discriminator(r, f), loss.generator(f)) for r, f in zip(real.split(1), fake.split(1), strict=True)]
    torch.testing.assert_close(
        torch.tensor([loss.discriminator(real, fake), loss.generator(fake)]), torch.tensor(each).mean(0)
    )


@pytest.mark.parametrize("name", ["ns-gan", "gan"])
def test_logarithms_do_not_overflow(name):
    for r, f, value in ((1e4, -1e4, 0.0), (-1e4, 1e4, 2e4)):
        real, fake = (torch.tensor([score], requires_grad=True) for score in (r, f))
        found = derivatives(LOSSES[name].discriminator(real, fake), real, fake)
        assert found == pytest.approx([value, -float(r < 0), float(f > 0)])
    confident = torch.tensor([-1e4 if name == "ns-gan" else 1e4], requires_grad=True)
    expected = [1e4, -1.0] if name == "ns-gan" else [-1e4, -1.0]
    assert derivatives(LOSSES[name].generator(confident), confident) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"wgan-gp"}))
def test_gradients_of_players_by_the_chain_rule(name):
    generator, critic = Shift(), Linear(torch.tensor([0.6, -0.8]))
    real, latents = torch.randn(6, 1, 1, 2), torch.randn(6, 2)
    batch = Batch(real, None, latents, torch.zeros(6, 1, 1, 1))
    fill_gradients(Players(generator, critic), LOSSES[name], batch, penalty_weight=10.0, share=0.5)
    weight, fake = critic.weight.detach(), generator(latents).detach().flatten(1)
    real = real.flatten(1)
    scores = list(zip((real @ weight).tolist(), (fake @ weight).tolist(), strict=True))
    _, by_real, by_fake = torch.tensor([DISCRIMINATOR[name](*score) for score in scores]).T
    torch.testing.assert_close(critic.weight.grad, 0.5 * (by_real @ real + by_fake @ fake) / 6)
    _, of_generator = torch.tensor([GENERATOR[name](f) for _, f in scores]).T
    torch.testing.assert_close(generator.theta.grad, 0.5 * of_generator.mean() * weight)


# Order and phases


class Square(nn.Module):
    """D(x) = sum (w x)^2, whose slope hangs on w and x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, 2.0]))

    def forward(self, images, labels=None):
        return (images.flatten(1) * self.weight).square().sum(1)


def events(loss: str, moving=PLAYERS) -> list[str]:
    """Forward and backward passes of both players, gradients that are ready, and laps, as they come."""
    players, seen = Players(Shift(), Square()), []
    for name, player in zip("GD", players, strict=True):

        def watch(*passed, name=name):
            output = passed[-1]
            seen.append(f"{name} forward" if output.requires_grad else f"{name} forward without graph")
            if output.requires_grad:
                output.register_hook(lambda gradient: seen.append(f"{name} backward"))

        player.register_forward_hook(watch)
        (parameter,) = player.parameters()
        parameter.register_post_accumulate_grad_hook(lambda parameter, name=name: seen.append(f"{name} ready"))
    batch = Batch(torch.randn(3, 1, 1, 2), None, torch.randn(3, 2), torch.rand(3, 1, 1, 1))
    fill_gradients(players, LOSSES[loss], batch, 10.0, 1.0, moving, credit=seen.append)
    return seen


GENERATOR_FIRST = [
    *("G forward", GENERATOR_FORWARD, "D forward", DISCRIMINATOR_FORWARD),
    *("D backward", "G backward", "G ready", GENERATOR_BACKWARD),
    *("D forward", DISCRIMINATOR_FORWARD),
]


def test_work_comes_in_phases_and_every_gradient_is_ready_once():
    """What makes the times of phases true: nothing of one happens within another, and nothing after the last."""
    last = ["D backward", "D backward", "D ready", DISCRIMINATOR_BACKWARD]
    assert events("wgan") == [*GENERATOR_FIRST, *last]
    assert events("wgan-gp") == [*GENERATOR_FIRST, "D forward", "D backward", PENALTY, *last]


def test_one_player_moving_costs_the_other_no_backward_pass():
    *same, _, last = GENERATOR_FIRST
    assert events("wgan-gp", ["generator"]) == [*same, "D forward without graph", last]
    forward = [
        "G forward without graph",
        GENERATOR_FORWARD,
        "D forward",
        DISCRIMINATOR_FORWARD,
        "D forward",
        DISCRIMINATOR_FORWARD,
    ]
    last = ["D forward", "D backward", PENALTY, "D backward", "D backward", "D ready", DISCRIMINATOR_BACKWARD]
    assert events("wgan-gp", ["discriminator"]) == [*forward, *last]


def small(model: str, norm: str = "layer", classes: int = 0, spectral_norm: bool = False) -> tuple[Players, Batch]:
    players = make(
        model,
        **{"channels": 1, "side": 8, "filters": 8, "latent": 8, "generator_norm": norm, "discriminator_norm": norm},
        **{"classes": classes, "spectral_norm": spectral_norm},
    )
    for word, player in enumerate(players):
        initialize(player, word)
    random = random_numbers(1)
    labels = torch.randint(classes, (6,), generator=random) if classes else None
    real, latents = torch.randn(6, 1, 8, 8, generator=random).tanh(), torch.randn(6, 8, generator=random)
    return players, Batch(real, labels, latents, torch.rand(6, 1, 1, 1, generator=random))


def gradients(players: Players) -> list[torch.Tensor | None]:
    return [parameter.grad for player in players for parameter in player.parameters()]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_players_moving_in_turn_have_the_gradients_of_both_moving(model, loss):
    together, batch = small(model, "none")
    in_turn, _ = small(model, "none")
    losses = fill_gradients(together, LOSSES[loss], batch, 10.0, 1.0)
    for player in PLAYERS:
        again = fill_gradients(in_turn, LOSSES[loss], batch, 10.0, 1.0, [player])
        assert again[:2] == losses[:2]
    for one, other in zip(gradients(together), gradients(in_turn), strict=True):
        assert torch.equal(one, other)


def test_gradients_add_to_those_there():
    players, batch = small("dcgan", "none")
    fill_gradients(players, LOSSES["wgan-gp"], batch, 10.0, 1.0)
    once = [gradient.clone() for gradient in gradients(players)]
    fill_gradients(players, LOSSES["wgan-gp"], batch, 10.0, 1.0)
    for gradient, single in zip(gradients(players), once, strict=True):
        assert torch.equal(gradient, 2 * single)


def test_real_generated_and_mixed_images_have_the_same_labels():
    players, batch = small("dcgan", classes=5)
    seen = []
    for player in players:
        player.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    fill_gradients(players, LOSSES["wgan-gp"], batch, 10.0, 1.0)
    assert len(seen) == 4
    assert all(labels is batch.labels for labels in seen)


# bfloat16


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_inside_float32_outside(model, norm, spectral_norm):
    exact, batch = small(model, norm, classes=3, spectral_norm=spectral_norm)
    mixed, _ = small(model, norm, classes=3, spectral_norm=spectral_norm)
    inside = []
    mixed.discriminator.downsample.register_forward_hook(lambda module, inputs, output: inside.append(output.dtype))
    expected = fill_gradients(exact, LOSSES["wgan-gp"], batch, 10.0, 1.0)
    found = fill_gradients(mixed, LOSSES["wgan-gp"], batch, 10.0, 1.0, mixed=True)
    assert inside == [torch.bfloat16] * 3
    for loss, near in zip(found, expected, strict=True):
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, near, rtol=0.03, atol=5e-3)
    for player, same in zip(mixed, exact, strict=True):
        ours, theirs = (torch.cat([p.grad.flatten() for p in each.parameters()]) for each in (player, same))
        assert ours.dtype == torch.float32
        assert not torch.equal(ours, theirs)
        assert torch.cosine_similarity(ours, theirs, dim=0) > 0.9
