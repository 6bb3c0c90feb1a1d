"""Losses of both players, and their gradients at one point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hvd_qgenx.gan.models import Players

PLAYERS = ("generator", "discriminator")

GENERATOR_FORWARD, DISCRIMINATOR_FORWARD, PENALTY, GENERATOR_BACKWARD, DISCRIMINATOR_BACKWARD = PHASES = (
    *("generator_forward", "discriminator_forward", "penalty"),
    *("generator_backward", "discriminator_backward"),
)
"""What a gradient's time goes to. ``penalty`` holds both its value and its part of the backward pass."""


@dataclass(frozen=True)
class Loss:
    """What the players minimise, as functions of the discriminator's scores (N,)."""

    generator: Callable[[Tensor], Tensor]
    """Of the scores of generated images; 0-d."""
    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Of the scores of real and of generated images; 0-d."""
    penalized: bool = False
    """Has the discriminator a gradient penalty?"""
    clipped: bool = False
    """Are the discriminator's weights clipped after every move?"""


def _wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _minus_mean(fake: Tensor) -> Tensor:
    return -fake.mean()


LOSSES = {
    "wgan-gp": Loss(_minus_mean, _wasserstein, penalized=True),
    "wgan": Loss(_minus_mean, _wasserstein, clipped=True),
}


class Batch(NamedTuple):
    """What one rank computes gradients from."""

    real: Tensor
    """Images (N, C, H, W) in [-1, 1]."""
    labels: Tensor | None
    """(N,) int64, of the real images and for the generated ones; None unless players are class-conditional."""
    latents: Tensor
    """(N, latent)"""
    mixing: Tensor
    """(N, 1, 1, 1) in [0, 1], where between real and generated images the penalty is taken."""


class Losses(NamedTuple):
    """The losses' values on this rank; 0-d tensors."""

    generator: Tensor
    discriminator: Tensor
    """Without the penalty."""
    penalty: Tensor
    """E (||grad D|| - 1)^2 between real and generated images; 0 without a penalty."""


def fill_gradients(
    players: Players,
    loss: Loss,
    batch: Batch,
    penalty_weight: float,
    share: float,
    moving: Sequence[str] = PLAYERS,
    lap: Callable[[str], None] = lambda _: None,
) -> Losses:
    """Adds the gradients of the players, taken at the same point, to ``.grad``.

    Each player's loss reaches that player's parameters only.

    Args:
        players: generator and discriminator.
        loss: what they minimise.
        batch: this rank's images and latents.
        penalty_weight: of the gradient penalty, where the loss has one.
        share: weight of this rank's mean in the mean over ranks, 1 for equal batches.
        moving: whose gradients; the penalty is computed for the discriminator only.
        lap: called with a phase of ``PHASES`` when the work on it, since the last call, is done.
    """
    real, labels, latents, mixing = batch
    fake = players.generator(latents, labels)
    lap(GENERATOR_FORWARD)
    fake_scores = players.discriminator(fake, labels)
    loss_generator = loss.generator(fake_scores)
    loss_discriminator = loss.discriminator(players.discriminator(real, labels), fake_scores)
    lap(DISCRIMINATOR_FORWARD)
    if loss.penalized and "discriminator" in moving:
        penalty = gradient_penalty(players, real, fake.detach(), labels, mixing)
        lap(PENALTY)
    else:
        penalty = torch.zeros((), device=real.device)
    if "generator" in moving:
        parameters = list(players.generator.parameters())
        (share * loss_generator).backward(inputs=parameters, retain_graph="discriminator" in moving)
        lap(GENERATOR_BACKWARD)
    if "discriminator" in moving:
        if loss.penalized:  # backward takes the nodes made last first: the penalty's, then the loss's
            loss_discriminator.register_hook(lambda _: lap(PENALTY))
        total = share * (loss_discriminator + penalty_weight * penalty)
        total.backward(inputs=list(players.discriminator.parameters()))
        lap(DISCRIMINATOR_BACKWARD)
    return Losses(loss_generator.detach(), loss_discriminator.detach(), penalty.detach())


def gradient_penalty(players: Players, real: Tensor, fake: Tensor, labels: Tensor | None, mixing: Tensor) -> Tensor:
    """E (||grad_x D(x)||_2 - 1)^2 at x = mixing * real + (1 - mixing) * fake.

    Source: Gulrajani et al., "Improved training of Wasserstein GANs" (NeurIPS 2017), equation 3.
    """
    between = torch.lerp(fake, real, mixing).requires_grad_()
    scores = players.discriminator(between, labels).sum()
    (slope,) = torch.autograd.grad(scores, between, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (norms - 1).square().mean()
