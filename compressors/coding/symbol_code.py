"""Codes for the symbols of a compressor: which letters they make, and their signs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compressors.coding import elias, huffman
from compressors.coding.prefix import Bytes, CorruptPayloadError, PrefixCode, count

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SymbolCode(ABC):
    """A way to code the symbols 0 to ``alphabet - 1``, at most 256.

    Where they are symmetric about a center, what is coded is the level ``|symbol - center|``, and one
    bit follows for a level other than zero: 1 below the center. A letter is the levels of ``block``
    symbols side by side, as digits of one number, the first the lowest; their signs follow in order.
    """

    alphabet: int
    center: int | None
    """The symbol of the value zero, or None; see ``SymbolCompressor``."""

    @property
    def block(self) -> int:
        """Number of symbols in a letter."""
        return 1

    @property
    def table_bytes(self) -> int:
        """Bytes that describe the code to the decoder."""
        return 0

    @property
    def levels(self) -> Integers:
        """(alphabet,) the level of every symbol: the symbol itself if there is no center."""
        symbols = np.arange(self.alphabet)
        return symbols if self.center is None else np.abs(symbols - self.center)

    @property
    def level_count(self) -> int:
        return int(self.levels.max()) + 1

    @property
    def letter_count(self) -> int:
        return int(self.level_count**self.block)

    @abstractmethod
    def table(self, counts: Integers) -> Bytes:
        """The description of the best code for letters that occur so often, (letter_count,)."""

    @abstractmethod
    def read(self, table: Bytes) -> PrefixCode:
        """The code of the letters that a table describes.

        Raises:
            CorruptPayloadError: it describes none.
        """

    def encode(self, symbols: Bytes) -> Bytes:
        """The table, then the bit stream of ``symbols`` (1-D)."""
        blocks = self._blocks(symbols)
        counts = count(blocks)[: self.alphabet**self.block]
        table = self.table(np.bincount(self._letters, counts).astype(np.int64))
        code = self._with_signs(self.read(table))
        stream = np.empty(code.stream_bytes(counts), np.uint8)
        code.encode(blocks, stream)
        return np.concatenate([table, stream])

    def decode(self, data: Bytes, size: int) -> Bytes:
        """The ``size`` symbols that ``encode`` turned into ``data``.

        Raises:
            CorruptPayloadError: it did not.
        """
        code = self._with_signs(self.read(data[: self.table_bytes]))
        blocks = np.empty(-(-size // self.block), np.uint8)
        code.decode(data[self.table_bytes :], blocks)
        return self._symbols.take(blocks, axis=0).ravel()[:size]

    def _blocks(self, symbols: Bytes) -> Bytes:
        """Every ``block`` symbols as the digits of one number; the last of all is repeated to fill up."""
        check(symbols, self.alphabet)
        filled = np.pad(symbols, (0, -len(symbols) % self.block), mode="edge") if len(symbols) else symbols
        digits = filled.reshape(-1, self.block).T
        blocks = digits[-1]
        for digit in digits[-2::-1]:
            blocks = blocks * np.uint8(self.alphabet) + digit
        return np.ascontiguousarray(blocks)

    @property
    def _symbols(self) -> Bytes:
        """(blocks, block) the symbols of every block."""
        blocks = np.arange(self.alphabet**self.block)[:, np.newaxis]
        return (blocks // self.alphabet ** np.arange(self.block) % self.alphabet).astype(np.uint8)

    @property
    def _letters(self) -> Integers:
        """(blocks,) the letter of every block."""
        letters: Integers = self.levels[self._symbols] @ self.level_count ** np.arange(self.block)
        return letters

    def _with_signs(self, code: PrefixCode) -> PrefixCode:
        """The code of the blocks, from that of the letters."""
        words, lengths = code.words[self._letters], code.lengths[self._letters]
        if self.center is not None:
            for symbol in self._symbols.T:
                has_sign = (symbol != self.center) & (lengths > 0)
                words = np.where(has_sign, words << 1 | (symbol < self.center), words).astype(np.uint32)
                lengths = lengths + has_sign
        return PrefixCode(words, lengths)


@dataclass(frozen=True)
class Huffman(SymbolCode):
    """The best code for the data at hand. Its lengths travel, four bits for each letter.

    A codeword has no fraction of a bit, so letters of few levels, one of which is frequent, cost
    more than their entropy. Blocks make up for that: as many symbols as have at most 64 letters.
    """

    @property
    def block(self) -> int:
        fitting = [n for n in range(1, 5) if self.alphabet**n <= 256 and self.level_count**n <= 64]
        return max(fitting, default=1)

    @property
    def table_bytes(self) -> int:
        return huffman.table_bytes(self.letter_count)

    def table(self, counts: Integers) -> Bytes:
        return huffman.to_table(huffman.lengths(counts))

    def read(self, table: Bytes) -> PrefixCode:
        return huffman.canonical(huffman.from_table(table, self.letter_count))


@dataclass(frozen=True)
class Elias(SymbolCode):
    """Letter i is the integer i + 1. Without a center, levels count from the middle outwards."""

    kind: str
    """``gamma``, ``delta`` or ``omega``."""

    @property
    def levels(self) -> Integers:
        if self.center is not None:
            return super().levels
        offset = np.arange(self.alphabet) - self.alphabet // 2
        return np.where(offset < 0, -2 * offset - 1, 2 * offset)

    def table(self, counts: Integers) -> Bytes:
        return np.empty(0, np.uint8)

    def read(self, table: Bytes) -> PrefixCode:
        return elias.prefix_code(self.kind, self.letter_count)


def check(symbols: Bytes, alphabet: int) -> None:
    """Raises CorruptPayloadError if one of the symbols is not from 0 to ``alphabet - 1``."""
    most = symbols.max(initial=0)
    if most >= alphabet:
        raise CorruptPayloadError(f"there is a symbol {most} where only 0 to {alphabet - 1} can be")
