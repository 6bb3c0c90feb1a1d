"""Half precision."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compressors.base import Compressor, Context, Shape, flatten, numel
from compressors.registry import register


@register("fp16")
@dataclass(eq=False)
class Half(Compressor):
    """Rounds every coordinate to the nearest fp16; above 65504 that is Inf, which is reported."""

    summable = True
    unbiased = False

    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        return flatten(tensor, torch.float16)

    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        return payload.to(context.dtype, copy=True).view(context.shape)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype = torch.float32) -> int:
        return 2 * numel(shape)

    def variance_bound(self, tensor: Tensor) -> float:
        """Half a unit in the last place: 2^-11 of the magnitude, or 2^-25 among the subnormals."""
        x = tensor.double().abs()
        if bool((x >= 65520).any()):
            return float("inf")
        return float((x * 2**-11).clamp(min=2**-25).square().sum())
