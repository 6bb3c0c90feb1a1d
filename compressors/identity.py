"""No compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from compressors.base import Compressor, Reduction, Shape, numel
from compressors.cast import decode_as, encode_as, is_finite_as
from compressors.deferred import Deferred
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


@register("none")
@dataclass(eq=False)
class Identity(Compressor):
    """Sends every coordinate as it is; bf16, which Horovod cannot add, travels as fp32."""

    reduction: ClassVar[Reduction] = "average"
    stochastic = False

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        return encode_as(self.payload_dtype(vector.dtype), vector, payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        decode_as(_dtype(payload, len(vector)), payload, vector, add)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        return is_finite_as(_dtype(payload, numel), payload, numel)

    def payload_dtype(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float32 if dtype == torch.bfloat16 else dtype

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return numel(shape) * self.payload_dtype(dtype or torch.float32).itemsize

    def variance_bound(self, tensor: Tensor) -> float:
        return 0.0


def _dtype(payload: Tensor, numel: int) -> torch.dtype:
    """Returns the dtype of ``numel`` numbers in the payload."""
    dtypes = {dtype.itemsize * numel: dtype for dtype in (torch.float64, torch.float16, torch.float32)}
    return dtypes.get(len(payload), torch.float32)


@dataclass(eq=False)
class Beside(Identity):
    """``none`` for the tensors that are left out by a compressor whose payloads are summed or need rounds.

    They are gathered, and added in the order of ranks: the same bits whatever carries them.
    """

    reduction = "gather"
