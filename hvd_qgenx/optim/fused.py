"""Parameters that travel together as one flat vector."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from compressors import Compressor, Identity


@dataclass(frozen=True)
class FusedGradients:
    """The gradients of parameters of one dtype and device that share a compressor."""

    parameters: tuple[Tensor, ...]
    compressor: Compressor

    def gather(self, scale: float) -> Tensor:
        """All gradients end to end, times ``scale``; a missing gradient counts as zeros."""
        vector = torch.cat([_gradient(parameter).reshape(-1) for parameter in self.parameters])
        return vector if scale == 1 else vector.mul_(scale)

    @torch.no_grad()
    def scatter(self, vector: Tensor) -> None:
        """Writes the vector back into the gradients, in place where they exist."""
        for parameter, part in self.split(vector):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(part)

    def split(self, vector: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Every parameter with its part of the vector, a view in the parameter's shape."""
        parts = vector.split([parameter.numel() for parameter in self.parameters])
        for parameter, part in zip(self.parameters, parts, strict=True):
            yield parameter, part.view_as(parameter)


def fuse(parameters: Iterable[Tensor], compression: Compressor) -> list[FusedGradients]:
    """Groups parameters by compressor, dtype and device, keeping their order.

    Uncompressed ones travel together whoever left them so.
    """
    groups: dict[tuple[object, torch.dtype, torch.device], tuple[Compressor, list[Tensor]]] = {}
    for parameter in parameters:
        compressor = compression.route(parameter.shape)
        same = Identity if isinstance(compressor, Identity) else id(compressor)
        key = (same, parameter.dtype, parameter.device)
        groups.setdefault(key, (compressor, []))[1].append(parameter)
    for compressor, members in groups.values():
        compressor.lay_out([parameter.numel() for parameter in members])
    return [FusedGradients(tuple(members), compressor) for compressor, members in groups.values()]


def _gradient(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    if parameter.grad.is_sparse:
        raise TypeError("sparse gradients are not exchanged; make them dense first")
    return parameter.grad
