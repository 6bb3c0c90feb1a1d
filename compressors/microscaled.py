"""The microscaling formats MXFP4 and MXFP8."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.base import Compressor, Shape, numel
from compressors.deferred import Deferred
from compressors.parameters import parameter
from compressors.registry import register
from compressors.rounding import CORRELATED, ROUNDINGS, GridRounding

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.kernels import grouped
else:
    torch = Deferred("torch")
    grouped = Deferred("compressors.kernels.grouped")

BLOCK = 32
BIAS = 127
NOT_FINITE = 255
"""The scale of a block that holds Inf or NaN."""


@dataclass(eq=False)
class Microscaled(GridRounding, Compressor):
    """Small floats in blocks of 32 coordinates that share a power of two.

    Rounding is random, so that every rank is unbiased, or to the ``nearest`` element, as the formats are mostly used.
    For that the scale is the standard's, whose largest elements may be clipped; random rounding takes the next one
    wherever the standard's would clip.

    Source: Open Compute Project, "Microscaling Formats (MX)" (2023), version 1.0.

    Payload: the scale of every block (E8M0, a byte), then its elements; the last block is filled with zeros.
    """

    rounding: str = parameter(
        CORRELATED,
        "Random rounding, with errors of ranks that cancel in the mean or not, or to the nearest element.",
        choices=(*ROUNDINGS, "nearest"),
    )

    @property
    @abstractmethod
    def element(self) -> Element:
        """The format of an element."""

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.rounding != "nearest"

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return self.stochastic

    @property
    def alignment(self) -> int:
        return BLOCK

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return self._blocks(numel(shape)) * (1 + BLOCK * self.element.bits // 8)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        filled, scales = self._scaled(vector)
        symbols = torch.empty(len(filled), dtype=torch.uint8, device=vector.device)
        kernel = kernels.for_device(vector.device)
        kernel.encode_grouped(
            filled, self._groups(scales), key if self.stochastic else None, symbols, self.strata(shared)
        )
        payload[: len(scales)] = scales
        payload[len(scales) :] = symbols if self.element.bits == 8 else symbols[::2] | symbols[1::2] << 4
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        scales, body = payload.split([count := self._blocks(len(vector)), len(payload) - count])
        symbols = body if self.element.bits == 8 else torch.stack([body & 15, body >> 4], dim=1).flatten()
        values = torch.empty(len(symbols), dtype=torch.float32, device=vector.device)
        kernels.for_device(vector.device).decode_grouped(symbols, self._groups(scales), values)
        kernels.deliver_values(values, vector, add)

    def variance_bound(self, tensor: Tensor) -> float:
        """The variance itself, (x - a) (b - x) for a coordinate x between a and b; with ``nearest``, the error."""
        filled, scales = self._scaled(tensor.detach().flatten())
        return grouped.squared_error(filled, self._groups(scales), nearest=not self.stochastic)

    def _scaled(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the vector in float32, filled with zeros to whole blocks, and the scales of the blocks, uint8."""
        filled = torch.nn.functional.pad(vector.float(), (0, -len(vector) % BLOCK))
        most = filled.view(-1, BLOCK).abs().amax(dim=1) if len(filled) else filled
        mantissas, exponents = torch.frexp(most.double())
        exponents = exponents - 1 - self.element.emax
        if self.stochastic:
            exponents += 2 * mantissas > self.element.greatest / 2**self.element.emax
        codes = torch.where(most > 0, (exponents + BIAS).clamp(0, NOT_FINITE - 1), 0)
        return filled, torch.where(most.isfinite(), codes, NOT_FINITE).to(torch.uint8)

    def _groups(self, scales: Tensor) -> grouped.Grouped:
        powers = torch.exp2(scales.double() - BIAS)
        powers = torch.where(scales == NOT_FINITE, torch.nan, powers)
        return grouped.Grouped(BLOCK, (self.element.table,), torch.zeros_like(scales, dtype=torch.int64), powers)

    @staticmethod
    def _blocks(size: int) -> int:
        return -(-size // BLOCK)


@register("mxfp4")
@dataclass(eq=False)
class MXFP4(Microscaled):
    """E2M1 elements, two in a byte: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives. 4.25 bits a coordinate."""

    @property
    def element(self) -> Element:
        return Element(2, 1, 6.0)


@register("mxfp8")
@dataclass(eq=False)
class MXFP8(Microscaled):
    """E4M3 elements: magnitudes up to 448 with 3 bits after the leading one. 8.25 bits a coordinate."""

    @property
    def element(self) -> Element:
        return Element(4, 3, 448.0)


@dataclass(frozen=True)
class Element:
    """A small float: a sign, an exponent and a mantissa; exponent 0 has the denormals."""

    exponent_bits: int
    mantissa_bits: int
    greatest: float
    """The largest magnitude; codes beyond it are no numbers."""

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def emax(self) -> int:
        """The exponent of the largest magnitude."""
        return 1 << self.exponent_bits - 1

    @property
    def table(self) -> grouped.Table:
        return _table(self)

    def magnitude(self, code: int) -> float:
        """Returns the magnitude that a code without its sign stands for."""
        exponent, mantissa = divmod(code, 1 << self.mantissa_bits)
        bias = self.emax - 1
        leading = 1 if exponent else 0
        return float((leading + mantissa / 2**self.mantissa_bits) * 2.0 ** (max(exponent, 1) - bias))


@lru_cache
def _table(element: Element) -> grouped.Table:
    """Returns all values with their codes; zero has that of plus zero."""
    codes = [code for code in range(1 << element.bits - 1) if element.magnitude(code) <= element.greatest]
    sign = 1 << element.bits - 1
    signed = [(-element.magnitude(code), sign | code) for code in reversed(codes[1:])]
    signed += [(element.magnitude(code), code) for code in codes]
    values, symbols = zip(*signed, strict=True)
    return grouped.Table(values, symbols)
