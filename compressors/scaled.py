"""Scales what a compressor decodes to, so that it is a contraction."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.base import Compressor, Shape, byte_tensor
from compressors.combinator import Combinator
from compressors.deferred import Deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")

FACTOR = struct.Struct("<f")


@dataclass(eq=False)
class Scaled(Combinator):
    """Combinator: sends the factor c = <Q(x), x> / ||Q(x)||^2 in front, which makes ||c Q(x) - x||^2 least.

    So it is at most ||x||^2, whatever ``inner`` does. If ``inner`` is unbiased with E||Q(x) - x||^2 <= w ||x||^2, it is
    at most w / (1 + w) ||x||^2 in expectation, as with the usual fixed factor 1 / (1 + w), and mostly much less: w is a
    worst case. Gossip and error feedback need such contractions.

    Payload: the factor (float32), then the payload of ``inner``.
    """

    name = "scaled"
    unbiased = False

    @property
    def exact_size(self) -> bool:  # type: ignore[override]
        return self.inner.exact_size

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return FACTOR.size + self.inner.payload_bytes(shape, dtype)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        used = self.inner.write(vector, payload[FACTOR.size :], key, start, shared)
        decoded = torch.empty_like(vector)
        self.inner.read(payload[FACTOR.size :][:used], decoded, start=start)
        factor = byte_tensor(FACTOR.pack(float(best_factors(decoded[None], vector[None]))))
        payload[: FACTOR.size] = factor.to(payload.device)
        return FACTOR.size + used

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        factor = _factor(payload)
        target = torch.empty_like(vector) if add else vector
        self.inner.read(payload[FACTOR.size :], target, start=start)
        target *= factor
        if add:
            vector += target

    def inspect(self, payload: Tensor, numel: int) -> bool:
        if abs(_factor(payload)) <= 1:
            return self.inner.inspect(payload[FACTOR.size :], numel)
        return super().inspect(payload, numel)  # a larger one, or NaN, makes others of finite numbers

    def variance_bound(self, tensor: Tensor) -> float:
        """Returns min(w / (1 + w), 1) ||x||^2, or the bound of a biased ``inner``, which scaling does not raise."""
        bound, square = self.inner.variance_bound(tensor), float(tensor.double().square().sum())
        if not self.inner.unbiased:
            return min(bound, square)
        return bound * square / (bound + square) if bound + square else 0.0


def _factor(payload: Tensor) -> float:
    if len(payload) < FACTOR.size:
        raise ValueError(f"a payload of {len(payload)} bytes has no factor")
    factor: float = FACTOR.unpack(bytes(payload[: FACTOR.size].tolist()))[0]
    return factor


def as_contraction(compressor: Compressor) -> Compressor:
    """Returns the compressor, scaled if need be: E||Q(x) - x||^2 <= (1 - delta) ||x||^2 with a delta above 0.

    Biased compressors are contractions already, and so are those that send every coordinate as a float.
    """
    if not compressor.unbiased or compressor.reduction == "average" or isinstance(compressor, Scaled):
        return compressor
    return Scaled(compressor)


def best_factors(decoded: Tensor, rows: Tensor) -> Tensor:
    """Returns the factors on rows of ``decoded``, (n, d), that bring them nearest to ``rows``; float32 (n, 1).

    They are 0 where a row of ``decoded`` is.
    """
    norms = torch.linalg.vector_norm(decoded, dim=1, keepdim=True, dtype=torch.float64)
    units = decoded.double() / torch.where(norms == 0, 1, norms)
    products = (units * rows.double()).sum(1, keepdim=True)
    return (products / torch.where(norms == 0, 1, norms)).float()
