"""Clips gradients, dense and sparse together."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], limit: float) -> None:
    """Scales all gradients down so that the norm of all together is at most ``limit``.

    Torch's function, which does not take sparse gradients, wherever there are none.
    """
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not any(gradient.is_sparse for gradient in gradients):
        nn.utils.clip_grad_norm_(parameters, limit)
        return
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient.is_sparse:
            parameter.grad = gradient.coalesce()
    parts = [p.grad.values() if p.grad.is_sparse else p.grad for p in parameters if p.grad is not None]
    total = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in parts]))
    factor = torch.clamp(limit / (total + 1e-6), max=1.0)  # torch's formula
    for part in parts:
        part.mul_(factor)
