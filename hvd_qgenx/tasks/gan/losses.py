"""Losses of both players, and their gradients at the same point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.tasks.gan.models.players import Players

PLAYERS = ("generator", "discriminator")

GENERATOR_FORWARD, DISCRIMINATOR_FORWARD, PENALTY, GENERATOR_BACKWARD, DISCRIMINATOR_BACKWARD = PHASES = (
    *("generator_forward", "discriminator_forward", "penalty"),
    *("generator_backward", "discriminator_backward"),
)
"""Phases of computing gradients. ``penalty`` covers the penalty's value and its part of the backward pass."""


@dataclass(frozen=True)
class Loss:
    """The functions of the discriminator's scores (N,) that the players minimize."""

    generator: Callable[[Tensor], Tensor]
    """Takes the scores of generated images; returns a 0-d tensor."""
    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Takes the scores of real and of generated images; returns a 0-d tensor."""
    penalized: bool = False
    """True if the discriminator has a gradient penalty."""
    clipped: bool = False
    """True if the discriminator's weights are clipped after every move."""


def _wasserstein(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _minus_mean(fake: Tensor) -> Tensor:
    return -fake.mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """-log s(real) - log(1 - s(fake)), s the sigmoid; softplus(x) = -log(1 - s(x)) does not overflow."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _minus_log(fake: Tensor) -> Tensor:
    """-log s(fake)"""
    return F.softplus(-fake).mean()


def _log_of_rest(fake: Tensor) -> Tensor:
    """log(1 - s(fake))"""
    return -F.softplus(fake).mean()


WGAN_GP = Loss(_minus_mean, _wasserstein, penalized=True)
"""Gulrajani et al. (NeurIPS 2017)."""
WGAN = Loss(_minus_mean, _wasserstein, clipped=True)
"""Arjovsky et al. (ICML 2017)."""
HINGE = Loss(_minus_mean, _hinge)
"""Lim and Ye (2017), Miyato et al. (ICLR 2018)."""
NON_SATURATING = Loss(_minus_log, _cross_entropy)
"""Goodfellow et al. (NeurIPS 2014); the generator minimizes -log s(fake)."""
MINIMAX = Loss(_log_of_rest, _cross_entropy)
"""Goodfellow et al. (NeurIPS 2014), the minimax game."""


class Batch(NamedTuple):
    """The inputs of one rank's gradients."""

    real: Tensor
    """Images (N, C, H, W) in [-1, 1]."""
    labels: Tensor | None
    """(N,) int64, of the real images and for the generated ones; None unless players are class-conditional."""
    latents: Tensor
    """(N, latent)"""
    mixing: Tensor
    """(N, 1, 1, 1) in [0, 1], weights of the real images at the points where the penalty is taken."""


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
    credit: Callable[[str], None] = lambda _: None,
    mixed: bool = False,
) -> Losses:
    """Adds the gradients of the players, taken at the same point, to ``.grad``.

    Each player's loss reaches that player's parameters only. The generator's gradients are done first, so
    that their exchange can go on while the discriminator's are computed.

    Args:
        players: generator and discriminator.
        loss: the functions that they minimize.
        batch: this rank's images and latents.
        penalty_weight: weight of the gradient penalty, if the loss has one.
        share: weight of this rank's mean in the mean over ranks, 1 for equal batches.
        moving: the players to compute gradients for; the penalty is computed for the discriminator only.
        credit: called with a phase of ``PHASES``, which gets the time since the previous call.
        mixed: let the players compute in bfloat16 where autocast allows it. Weights, scores, losses and
            gradients stay float32.
    """
    real, labels, latents, mixing = batch
    moves_generator, moves_discriminator = (player in moving for player in PLAYERS)
    generate, discriminate = (_forward(player, labels, mixed) for player in players)
    with torch.set_grad_enabled(moves_generator):
        fake = generate(latents)
    credit(GENERATOR_FORWARD)
    fake_scores = discriminate(fake)
    loss_generator = loss.generator(fake_scores)
    credit(DISCRIMINATOR_FORWARD)
    if moves_generator:
        parameters = list(players.generator.parameters())
        (share * loss_generator).backward(inputs=parameters, retain_graph=moves_discriminator)
        credit(GENERATOR_BACKWARD)
    with torch.set_grad_enabled(moves_discriminator):
        loss_discriminator = loss.discriminator(discriminate(real), fake_scores)
    credit(DISCRIMINATOR_FORWARD)
    penalty = torch.zeros((), device=real.device)
    if moves_discriminator:
        parameters = list(players.discriminator.parameters())
        sources: list[Tensor] = [share * loss_discriminator]
        gradients: list[Tensor | None] = [None]
        if loss.penalized:
            penalty = gradient_penalty(discriminate, real, fake.detach(), mixing)
            sources += parameters
            gradients += torch.autograd.grad(share * penalty_weight * penalty, parameters, materialize_grads=True)
            credit(PENALTY)
        # one pass adds both, so that hooks see every parameter's gradient once and complete
        torch.autograd.backward(sources, gradients, inputs=parameters)
        credit(DISCRIMINATOR_BACKWARD)
    return Losses(loss_generator.detach(), loss_discriminator.detach(), penalty.detach())


def gradient_penalty(discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mixing: Tensor) -> Tensor:
    """Returns E (||grad_x D(x)||_2 - 1)^2 at x = mixing * real + (1 - mixing) * fake.

    Source: Gulrajani et al., "Improved training of Wasserstein GANs" (NeurIPS 2017), equation 3.
    """
    between = torch.lerp(fake, real, mixing).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminate(between).sum(), between, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return (norms - 1).square().mean()


def _forward(player: nn.Module, labels: Tensor | None, mixed: bool) -> Callable[[Tensor], Tensor]:
    """Returns the player's forward pass with these labels, with outputs in float32."""

    def forward(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=mixed):
            outputs: Tensor = player(inputs, labels)
        return outputs.float()

    return forward
