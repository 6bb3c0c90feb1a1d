"""Majority vote over signs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.base import Shape, checked, numel
from compressors.deferred import Deferred
from compressors.integers import Sum, SummedCompressor
from compressors.kernels.layout import packed_bytes
from compressors.parameters import parameter
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.kernels import integers
else:
    torch = Deferred("torch")
    integers = Deferred("compressors.kernels.integers")

FINE, NOT_FINITE = 0, 255
"""First byte of a payload or message."""


@register("vote")
@dataclass(eq=False)
class Vote(SummedCompressor):
    """The sign that most ranks have, times a magnitude; zero counts as positive, and the result of a tie is zero.

    Biased, and its size says nothing: the step size alone decides how far parameters move. Source: Bernstein et al.,
    "signSGD with Majority Vote is Communication Efficient and Fault Tolerant" (ICLR 2019).

    Payload: a byte that tells if all coordinates are finite, then a bit for each. Message: the same byte, then the
    outcome, a bit for each coordinate, or two if the number of ranks is even.
    """

    unbiased = False
    stochastic = False

    magnitude: float = parameter(1.0, "Size of every coordinate of the result.", low=1e-6, high=1e4)

    @property
    def alignment(self) -> int:
        return integers.BLOCK

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        size = numel(shape)
        return 1 + packed_bytes(1, integers.BLOCK, size) if size else 0

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        if not len(vector):
            return 0
        payload[0] = FINE if bool(torch.isfinite(vector).all()) else NOT_FINITE
        self._pack((vector >= 0).int(), 1, payload[1:])
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        votes, finite = self._votes(payload, len(vector))
        values = (2 * votes - 1).to(vector.dtype) * (self.magnitude if finite else torch.nan)
        vector.add_(values) if add else vector.copy_(values)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        return numel == 0 or int(payload[0]) == FINE

    def sum_of(self, payloads: Iterable[Tensor], numel: int) -> Sum:
        found = [self._votes(payload, numel) for payload in payloads]
        total = torch.stack([votes for votes, _ in found]).sum(dim=0, dtype=torch.int32)
        return Sum(2 * total - len(found), all(finite for _, finite in found))

    def write_sum(self, total: Sum) -> Tensor:
        width = self._outcome_bits
        size = packed_bytes(width, integers.BLOCK, len(total.integers))
        message = torch.empty(1 + size, dtype=torch.uint8, device=total.integers.device)
        message[0] = FINE if total.finite else NOT_FINITE
        signs = total.integers.sign()
        self._pack((signs > 0).int() if width == 1 else signs + 1, width, message[1:])
        return message

    def decode_mean(self, message: Tensor, vector: Tensor, start: int = 0) -> bool:
        vector, message = checked(vector, message)
        width, finite = self._outcome_bits, len(message) > 0 and int(message[0]) == FINE
        codes = self._unpack(message, width, len(vector), 1 + packed_bytes(width, integers.BLOCK, len(vector)))
        signs = 2 * codes - 1 if width == 1 else codes - 1
        vector.copy_(signs.to(vector.dtype) * (self.magnitude if finite else torch.nan))
        return finite

    def variance_bound(self, tensor: Tensor) -> float:
        """The squared error itself, of this rank's vote alone, and a little more for the rounding of this sum."""
        vector = tensor.double()
        error = (torch.where(vector >= 0, self.magnitude, -self.magnitude) - vector).square().sum()
        return float(error) * (1 + 1e-6)

    @property
    def _outcome_bits(self) -> int:
        return 2 - self.ranks % 2

    def _votes(self, payload: Tensor, size: int) -> tuple[Tensor, bool]:
        votes = self._unpack(payload, 1, size, self.payload_bytes(size))
        return votes, self.inspect(payload, size)

    @staticmethod
    def _pack(codes: Tensor, bits: int, packed: Tensor) -> None:
        kernels.for_device(codes.device).pack_integers(codes, bits, 0, packed)

    def _unpack(self, packed: Tensor, bits: int, size: int, expected: int) -> Tensor:
        if len(packed) != expected:
            raise ValueError(f"{self.name}: a payload of {len(packed)} bytes cannot hold {size} votes")
        codes = torch.zeros(size, dtype=torch.int32, device=packed.device)
        kernels.for_device(packed.device).add_integers(packed[1:], bits, 0, codes)
        return codes
