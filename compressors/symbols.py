"""Compressors that send one symbol for every coordinate."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from compressors.base import Compressor


@dataclass(eq=False)
class SymbolCompressor(Compressor):
    """A compressor whose payload is a head (norms and such) and fixed-width symbols, bit-packed.

    Taking a payload apart and putting it together again loses nothing, so an entropy code can
    carry the symbols instead (``Coded``).
    """

    @property
    @abstractmethod
    def alphabet(self) -> int:
        """Number of different symbols, at most 256: they are 0 to ``alphabet - 1``."""

    @property
    @abstractmethod
    def center(self) -> int | None:
        """The symbol of the value zero if symbols ``center - j`` and ``center + j`` are of opposite values."""

    @abstractmethod
    def split(self, payload: Tensor, numel: int) -> tuple[Tensor, Tensor]:
        """Head and symbols (both 1-D uint8) of the payload of ``numel`` coordinates."""

    @abstractmethod
    def join(self, head: Tensor, symbols: Tensor, numel: int) -> Tensor:
        """The payload that ``split`` took apart."""

    @abstractmethod
    def symbol_count(self, numel: int) -> int:
        """Number of symbols in the payload of ``numel`` coordinates: padded blocks have more."""
