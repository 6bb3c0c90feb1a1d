"""Natural compression: powers of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.base import Compressor, Shape, numel
from compressors.deferred import Deferred
from compressors.kernels.layout import packed_bytes
from compressors.parameters import parameter
from compressors.registry import register
from compressors.rounding import CORRELATED, GridRounding, rounding_parameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.kernels import natural
else:
    torch = Deferred("torch")
    natural = Deferred("compressors.kernels.natural")

_OVERFLOWING = 127 + 110
"""Exponents from this one on are too large for sums over ranks, as in ``kernels.moderate``."""


@register("natural")
@dataclass(eq=False)
class Natural(GridRounding, Compressor):
    """Keeps sign and exponent of every coordinate, which is rounded at random to one of its neighbouring powers of two.

    9 bits hold all exponents of float32's normal numbers. 8 bits hold the powers from 2^-93 to 2^32. A magnitude
    below the smallest power becomes zero or that power; one above the largest becomes the largest, the only bias.
    At 8 bits magnitudes below 2^-93 count in steps of 2^-116.

    Source: Horvath et al., "Natural Compression for Distributed Deep Learning" (MSML 2022).

    Payload: the codes, packed, with nothing beside them; ``kernels.natural`` defines them.
    """

    bits: int = parameter(9, "Bits per coordinate.", choices=(8, 9))
    rounding: str = rounding_parameter(CORRELATED)

    @property
    def alignment(self) -> int:
        return natural.BLOCK

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return packed_bytes(self.bits, natural.BLOCK, numel(shape))

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        kernel = kernels.for_device(vector.device)
        kernel.encode_natural(kernels.readable(vector), self.bits, key, payload, self.strata(shared))
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        kernel = kernels.for_device(payload.device)
        kernels.deliver(lambda target, add: kernel.decode_natural(payload, self.bits, target, add), vector, add)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        if self.bits == 8:
            return numel == 0 or int((payload & 127).max()) < 127
        full, tail = divmod(numel, natural.BLOCK)
        split = self.payload_bytes(full * natural.BLOCK)
        exponents = payload[:split].view(full, natural.BLOCK * 9 // 8)[:, : natural.BLOCK], payload[split:][:tail]
        return all(int(part.max()) < _OVERFLOWING for part in exponents if part.numel())

    def variance_bound(self, tensor: Tensor) -> float:
        """An eighth of the squared norm, and what the ends of the window add.

        Between a = 2^e and 2 a the variance is (x - a) (2 a - x), and over x^2 at most 1/8, at x = 4 a / 3. Below
        the smallest power a it is x (a - x), up to a step of magnitudes; above the largest b, (x - b)^2.
        """
        window = natural.Window(self.bits)
        x = tensor.double().abs().flatten()
        below = torch.where(x > 0, x + window.least * 2.0**-24, 0) * window.least
        beyond = (x - window.greatest).square()
        bounds = torch.where(x < window.least, below, torch.where(x > window.greatest, beyond, x.square() / 8))
        return float(bounds.sum())
