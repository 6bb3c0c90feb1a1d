"""A compressor of your own, in every exchange and on the command line by its name.

Every coordinate becomes a byte: its sign, and its logarithm in eighths of an octave below the largest.

Run it with `python examples/own_compressor.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

import compressors
from compressors.base import Compressor, Shape, numel
from compressors.registry import register
from hvd_qgenx import exchange
from hvd_qgenx.transport.inprocess import InProcess, run


@register("logarithmic")
@dataclass(eq=False)
class Logarithmic(Compressor):
    """A sign and 7 bits of logarithm for every coordinate, and the largest magnitude."""

    unbiased = False
    stochastic = False

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        values = vector.double()
        largest = values.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
        eighths = (-8 * (values.abs() / largest).log2()).round().nan_to_num(posinf=127).clamp(max=127)
        payload[:4].copy_(largest.float().reshape(1).view(torch.uint8))
        payload[4:].copy_((eighths + 128 * (values < 0)).to(torch.uint8))
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        largest = payload[:4].clone().view(torch.float32).double()
        codes = payload[4:].double()
        decoded = largest * (-(codes % 128) / 8).exp2() * (1 - 2 * (codes >= 128).double()) * (codes % 128 < 127)
        vector.add_(decoded) if add else vector.copy_(decoded)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return 4 + numel(shape) if numel(shape) else 0

    def variance_bound(self, tensor: Tensor) -> float:
        return float((2 ** (1 / 16) - 1) ** 2 * tensor.double().square().sum() + tensor.numel() * 2.0**-31)


vectors = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0))


def mean_of(ranks: InProcess) -> Tensor:
    return exchange.make("allgather", ranks).mean(vectors[ranks.rank], compressors.make("logarithmic"), "vector")


mean = run(3, mean_of)[0]
error = float((mean - vectors.mean(0)).square().sum() / vectors.mean(0).square().sum())
print(f"the mean of three vectors, 1 byte a coordinate: relative squared error {error:.1e}")
