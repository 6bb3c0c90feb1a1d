"""What the quantizers onto an evenly spaced grid share."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from compressors import kernels
from compressors.base import Compressor, Context, Shape, flatten, numel
from compressors.kernels.layout import Layout
from compressors.parameters import parameter


@dataclass(eq=False)
class GridQuantizer(Compressor):
    """Stochastic rounding onto a grid that every bucket spans for itself; codes are bit-packed.

    A value between two grid points goes to the upper one with a probability equal to its relative
    distance from the lower one, so the expectation is the value. Works in float32.
    """

    bits: int = parameter(4, "Bits per coordinate.", low=1, high=8)
    bucket_size: int = parameter(1024, "Coordinates that share one norm or range.", low=1)

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The wire format."""

    @property
    def alignment(self) -> int:
        return self.bucket_size

    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        vector, context = flatten(tensor, torch.float32)
        payload = kernels.for_device(vector.device).encode(vector, self.layout, self.stream.next_key())
        return payload, context

    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        size = numel(context.shape)
        if payload.numel() != self.payload_bytes(size):
            raise ValueError(f"{self.name}: a payload of {payload.numel()} bytes cannot hold {size} coordinates")
        vector = kernels.for_device(payload.device).decode(payload, self.layout, size)
        return vector.to(context.dtype).view(context.shape)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype = torch.float32) -> int:
        return self.layout.payload_bytes(numel(shape))

    def variance_bound(self, tensor: Tensor) -> float:
        """The sum over buckets of ``bucket_bound``."""
        return sum((self.bucket_bound(bucket) for bucket in tensor.double().flatten().split(self.bucket_size)), 0.0)

    @abstractmethod
    def bucket_bound(self, bucket: Tensor) -> float:
        """Upper bound on E||Q(x) - x||^2 for one bucket (float64)."""
