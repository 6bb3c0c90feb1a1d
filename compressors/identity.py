"""No compression."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compressors.base import Compressor, Context, Shape, flatten, numel
from compressors.registry import register


@register("none")
@dataclass(eq=False)
class Identity(Compressor):
    """Sends every coordinate as it is; bf16, which Horovod cannot add, travels as fp32."""

    summable = True

    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        return flatten(tensor, _wire_dtype(tensor.dtype))

    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        return payload.to(context.dtype, copy=True).view(context.shape)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype = torch.float32) -> int:
        return numel(shape) * _wire_dtype(dtype).itemsize

    def variance_bound(self, tensor: Tensor) -> float:
        return 0.0


def _wire_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.bfloat16 else dtype
