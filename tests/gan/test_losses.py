"""The penalty against a closed form, and each player's gradient to itself alone."""

import pytest
import torch
from torch import nn

from hvd_qgenx.gan.losses import LOSSES, Batch, fill_gradients, gradient_penalty
from hvd_qgenx.gan.models import Players


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
    players = Players(Shift(), Linear(weight))
    real, fake, mixing = torch.randn(5, 1, 1, 2), torch.randn(5, 1, 1, 2), torch.rand(5, 1, 1, 1)
    penalty = gradient_penalty(players, real, fake, None, mixing)
    assert float(penalty.detach()) == pytest.approx((5 - 1) ** 2)


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
