"""A compressor: every coordinate becomes a byte, its sign and its logarithm in steps below the largest."""

from dataclasses import dataclass

import torch
from torch import Tensor

from compressors.base import Compressor, Shape, numel
from compressors.parameters import parameter
from compressors.registry import register

SMALLEST = 127
"""The code of everything below the last step, which decodes to 0."""


@register("logarithmic")
@dataclass(eq=False)
class Logarithmic(Compressor):
    """The largest magnitude in float32; then a sign and 7 bits of logarithm for every coordinate."""

    steps: int = parameter(8, "Steps in an octave.", low=1, high=16)

    unbiased = False
    stochastic = False

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        if not len(vector):
            return 0
        values = vector.double()
        largest = values.abs().amax()
        payload[:4].copy_(largest.float().reshape(1).view(torch.uint8))
        below = (-self.steps * (values.abs() / largest.float()).log2()).round()
        codes = below.nan_to_num(SMALLEST, posinf=SMALLEST).clamp(0, SMALLEST)
        payload[4:].copy_((codes + 128 * (values < 0)).to(torch.uint8))
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        if not len(vector):
            return
        largest = payload[:4].clone().view(torch.float32).double()
        codes = payload[4:].double()
        sizes = (-(codes % 128) / self.steps).exp2() * (codes % 128 < SMALLEST)
        decoded = largest * sizes * (1 - 2 * (codes >= 128).double())  # NaN where the largest is Inf or NaN
        vector.add_(decoded) if add else vector.copy_(decoded)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return 4 + numel(shape) if numel(shape) else 0

    def variance_bound(self, tensor: Tensor) -> float:
        values = tensor.double()
        last = values.abs().amax() * 2 ** (-(SMALLEST - 1) / self.steps) if len(values.flatten()) else 0.0
        return float((2 ** (0.5 / self.steps) - 1) ** 2 * values.square().sum() + tensor.numel() * (2 * last) ** 2)
