"""The contract of losses of GANs."""

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.tasks.gan.losses import Loss
from hvd_qgenx.testing.requirement import require

SCORES = 16


def check_loss(loss: Loss) -> None:
    """Checks the contract of a loss of GANs.

    Both functions map scores, float32 (N,), to a finite 0-d tensor with a finite gradient for every score, also of
    large scores; and they are means, so that the mean over ranks with equal batches is the loss of the whole batch.

    Args:
        loss: the entry of the registry.

    Raises:
        AssertionError: it breaks its contract.
    """
    real, fake = (torch.randn(SCORES, generator=generator(seed)) for seed in (1, 2))
    for scale in (1.0, 200.0):
        _check_value("generator", loss, [scale * fake])
        _check_value("discriminator", loss, [scale * real, scale * fake])
    half = SCORES // 2
    for name, scores in (("generator", [fake]), ("discriminator", [real, fake])):
        whole = getattr(loss, name)(*scores)
        parts = [getattr(loss, name)(*(each[part] for each in scores)) for part in (slice(half), slice(half, None))]
        mean = (parts[0] + parts[1]) / 2
        told = f"the loss of a batch is {whole.item():.6g}, but that of two ranks with half of it is {mean.item():.6g}"
        require(torch.allclose(whole, mean, rtol=1e-5, atol=1e-6), f"{name}: {told}")


def _check_value(name: str, loss: Loss, scores: list[Tensor]) -> None:
    given = [each.clone().requires_grad_() for each in scores]
    value = getattr(loss, name)(*given)
    right = isinstance(value, Tensor) and value.dim() == 0
    require(right, f"{name}: the loss is no 0-d tensor; take the mean over scores")
    require(torch.isfinite(value), f"{name}: the loss is {value.item()} at scores up to {float(scores[-1].max()):.3g}")
    gradients = torch.autograd.grad(value, given, allow_unused=True)
    for gradient in gradients:
        require(gradient is not None and gradient.abs().sum() > 0, f"{name}: some scores have no gradient")
        require(gradient is None or torch.isfinite(gradient).all(), f"{name}: a gradient is Inf or NaN")
