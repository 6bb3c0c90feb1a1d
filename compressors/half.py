"""Half precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.base import Compressor, Shape, numel
from compressors.cast import decode_as, encode_as, is_finite_as
from compressors.deferred import Deferred
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


@register("fp16")
@dataclass(eq=False)
class Half(Compressor):
    """Rounds every coordinate to the nearest fp16; above 65504 that is Inf, which is reported."""

    reduction = "average"
    unbiased = False
    stochastic = False

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        return encode_as(torch.float16, vector, payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        decode_as(torch.float16, payload, vector, add)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        return is_finite_as(torch.float16, payload, numel)

    def payload_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float16

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return 2 * numel(shape)

    def variance_bound(self, tensor: Tensor) -> float:
        """Half a unit in the last place: 2^-11 of the magnitude, or 2^-25 among the subnormals."""
        x = tensor.double().abs()
        if bool((x >= 65520).any()):
            return float("inf")
        return float((x * 2**-11).clamp(min=2**-25).square().sum())
