"""Entropy-coded integers, on the way out and as sums on the way back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from compressors.base import Compressor
from compressors.coded import Coded, EntropyCoded, read_coded, write_coded
from compressors.coding.frame import OVERHEAD, Symbols
from compressors.integers import IntegerCompressor, Sum, SummedCompressor, sum_symbols, sum_width

if TYPE_CHECKING:
    from torch import Tensor

    from compressors.quantizer import BucketQuantizer


@dataclass(eq=False)
class CodedIntegers(EntropyCoded, SummedCompressor):
    """Combinator: sends integers, and their sums, in an entropy code, or packed where that is shorter.

    Means have the same bits as those of ``inner`` alone. Sums of more than 8 bits stay packed. Payloads that hold
    coordinates as they are, since there is no scale yet, and those of no coordinates have no frame.

    Raises:
        ValueError: integers have more than 8 bits.
    """

    inner: IntegerCompressor

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.width > 8:
            inner = self.inner
            raise ValueError(f"{inner.name}: integers of {inner.width} bits have no entropy code; take 8 at most")

    @property
    def integers(self) -> IntegerCompressor:
        return self.inner

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        if not (self.ready and len(vector)):
            return self.inner.encode(vector, payload, key, start, shared)  # whose payload is shorter
        fixed = payload.new_empty(self.inner.payload_bytes(len(vector), vector.dtype))
        self.inner.write(vector, fixed, key, start, shared)
        return write_coded(fixed, self.inner.symbols(len(vector)), self.code, payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        """Decodes to, or adds to, ``vector``.

        Raises:
            CorruptPayloadError: the payload was cut short, added to or changed.
        """
        self.inner.decode(self._fixed(payload, len(vector)), vector, add, start)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        return self.inner.inspect(self._fixed(payload, numel), numel)

    @property
    def ready(self) -> bool:
        return self.inner.ready

    @property
    def measures(self) -> bool:  # type: ignore[override]
        return self.inner.measures

    def measure(self, vector: Tensor) -> Tensor:
        return self.inner.measure(vector)

    def agree(self, everyone: Sequence[Tensor]) -> None:
        self.inner.agree(everyone)

    def sum_of(self, payloads: Iterable[Tensor], numel: int) -> Sum:
        return self.inner.sum_of((self._fixed(payload, numel) for payload in payloads), numel)

    def write_sum(self, total: Sum) -> Tensor:
        message = self.inner.write_sum(total)
        symbols = self._sum_symbols(sum_width(message), len(total.integers))
        if symbols is None:
            return message
        coded = message.new_empty(1 + OVERHEAD + len(message))
        coded[0] = message[0]
        return coded[: 1 + write_coded(message, symbols, self.code, coded[1:])]

    def read_sum(self, message: Tensor, numel: int) -> Sum:
        """Returns the sum in a message; raises as that of ``inner`` and as ``decode``."""
        return self.inner.read_sum(self._fixed_sum(message, numel), numel)

    def decode_mean(self, message: Tensor, vector: Tensor, start: int = 0) -> bool:
        return self.inner.decode_mean(self._fixed_sum(message, len(vector)), vector, start)

    def _fixed_sum(self, message: Tensor, numel: int) -> Tensor:
        symbols = self._sum_symbols(sum_width(message), numel)
        return message if symbols is None else read_coded(message[1:], symbols, self.code)

    def _fixed(self, payload: Tensor, numel: int) -> Tensor:
        if not (self.ready and numel):
            return payload
        return read_coded(payload, self.inner.symbols(numel), self.code)

    @staticmethod
    def _sum_symbols(width: int, numel: int) -> Symbols | None:
        """Returns the parts of a sum; None if its integers are not coded."""
        return sum_symbols(width, numel) if 2 <= width <= 8 and numel else None


def with_coding(inner: Compressor, code: str) -> Compressor:
    """Returns the combinator that sends the symbols of a compressor in an entropy code.

    Raises:
        ValueError: it has no symbols.

    Examples:
        >>> import compressors, torch
        >>> vector = torch.zeros(1024)
        >>> plain = compressors.make("uniform", bits=4)
        >>> coded = with_coding(plain, "elias")
        >>> len(plain.compress(vector)[0]) > 3 * len(coded.compress(vector)[0])
        True
    """
    if isinstance(inner, IntegerCompressor):
        return CodedIntegers(inner, code)
    return Coded(cast("BucketQuantizer", inner), code)  # which checks that it is one
