"""The base of combinators that choose a compressor for every tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.base import Compressor, Context, Shape
from compressors.deferred import Deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


@dataclass(eq=False)
class Routing(Compressor):
    """Has every tensor compressed by the compressor that ``route`` returns for its shape."""

    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        return self.route(tensor.shape).compress(tensor)

    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        return self.route(context.shape).decompress(payload, context)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        return self.route(vector.shape).write(vector, payload, key, start, shared)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        self.route(vector.shape).read(payload, vector, add, start)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return self.route((shape,) if isinstance(shape, int) else shape).payload_bytes(shape, dtype or torch.float32)

    def variance_bound(self, tensor: Tensor) -> float:
        return self.route(tensor.shape).variance_bound(tensor)
