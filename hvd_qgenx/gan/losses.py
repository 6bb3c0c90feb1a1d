"""Wasserstein losses, and the gradients of both players at one point."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

LOSSES = ("wgan-gp", "wgan")
PLAYERS = ("generator", "discriminator")


class Losses(NamedTuple):
    """What the players minimise, as seen by this rank; 0-d tensors."""

    generator: Tensor
    """-E D(G(z))"""
    discriminator: Tensor
    """E D(G(z)) - E D(x), without the penalty"""
    penalty: Tensor
    """E (||grad D|| - 1)^2 between real and generated images; 0 without a penalty"""


def fill_gradients(
    generator: nn.Module,
    discriminator: nn.Module,
    real: Tensor,
    latents: Tensor,
    mixing: Tensor,
    penalty_weight: float,
    share: float,
    players: Sequence[str] = PLAYERS,
) -> Losses:
    """Adds the gradients of the players, taken at the same point, to ``.grad``.

    Each player's loss reaches that player's parameters only.

    Args:
        generator: maps latents to images.
        discriminator: maps images to scores.
        real: images (N, C, H, W).
        latents: (N, latent).
        mixing: (N, 1, 1, 1) in [0, 1], where between real and generated the penalty is taken.
        penalty_weight: 0 for none.
        share: weight of this rank's mean in the mean over ranks, 1 for equal batches.
        players: whose gradients; the penalty is computed for the discriminator only.
    """
    fake = generator(latents)
    fake_score = discriminator(fake).mean()
    loss_generator = -fake_score
    loss_discriminator = fake_score - discriminator(real).mean()
    if penalty_weight and "discriminator" in players:
        penalty = gradient_penalty(discriminator, real, fake.detach(), mixing)
    else:
        penalty = torch.zeros((), device=real.device)
    if "generator" in players:
        (share * loss_generator).backward(inputs=list(generator.parameters()), retain_graph=True)
    if "discriminator" in players:
        (share * (loss_discriminator + penalty_weight * penalty)).backward(inputs=list(discriminator.parameters()))
    return Losses(loss_generator.detach(), loss_discriminator.detach(), penalty.detach())


def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor, mixing: Tensor) -> Tensor:
    """E (||grad_x D(x)||_2 - 1)^2 at x = mixing * real + (1 - mixing) * fake.

    Source: Gulrajani et al., "Improved training of Wasserstein GANs" (NeurIPS 2017), equation 3.
    """
    between = torch.lerp(fake, real, mixing).requires_grad_()
    scores = discriminator(between).sum()
    (slope,) = torch.autograd.grad(scores, between, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return (norms - 1).square().mean()
