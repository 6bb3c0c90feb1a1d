"""Codes for the symbols of a compressor: which blocks they make, which codewords blocks have, and signs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from compressors.coding import elias, huffman
from compressors.coding.errors import CorruptPayloadError
from compressors.coding.limits import LOOK_UP_BITS
from compressors.coding.prefix import Bytes, PrefixCode, count

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SymbolCode(ABC):
    """A way to code the symbols 0 to ``alphabet - 1``, of ``bits`` bits each.

    Symbols are coded in blocks: as many as fit in a byte, the first in the lowest bits. Symbols that are
    symmetric about a center are coded as the level ``|symbol - center|``, and one bit for a level
    other than zero: 1 below the center.
    """

    bits: int
    alphabet: int
    center: int | None
    """The symbol of the value zero, or None; see ``BucketQuantizer``."""

    @property
    def block(self) -> int:
        """Number of symbols in a block."""
        return 8 // self.bits

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

    @abstractmethod
    def table(self, counts: Integers) -> Bytes:
        """The description of the best code for blocks that occur so often, (256,)."""

    @abstractmethod
    def read(self, table: Bytes) -> PrefixCode:
        """The code of the blocks that a table describes.

        Raises:
            CorruptPayloadError: it describes none.
        """

    def encode(self, blocks: Bytes, data: Bytes) -> int | None:
        """Writes the table, then the codewords of ``blocks`` (1-D), to the front of ``data``.

        Returns:
            The number of bytes written; None if ``data`` might not be longer than that.

        Raises:
            CorruptPayloadError: there are symbols from outside the alphabet.
        """
        counts = self._count(blocks)
        table = self.table(counts)
        code = self.read(table)
        if len(table) + code.most_bytes(counts) >= len(data):
            return None
        data[: len(table)] = table
        return len(table) + code.encode(blocks, data[len(table) :])

    def decode(self, data: Bytes, blocks: Bytes) -> None:
        """Fills ``blocks`` from the bytes that ``encode`` wrote.

        Raises:
            CorruptPayloadError: it did not write them, or not for so many blocks.
        """
        self.read(data[: self.table_bytes]).decode(data[self.table_bytes :], blocks)

    def check(self, blocks: Bytes) -> None:
        """Raises CorruptPayloadError if there are symbols from outside the alphabet."""
        if self.alphabet < 1 << self.bits:
            self._count(blocks)

    def _count(self, blocks: Bytes) -> Integers:
        counts = count(blocks)
        if counts[~self._known].any():
            most = self._symbols[counts > 0].max()
            raise CorruptPayloadError(f"there is a symbol {most} where only 0 to {self.alphabet - 1} can be")
        return counts

    @cached_property
    def _symbols(self) -> Bytes:
        """(256, block) the symbols of every block; in the last one all bits that are left."""
        shifted = np.arange(256)[:, np.newaxis] >> np.arange(self.block) * self.bits
        shifted[:, :-1] &= (1 << self.bits) - 1
        return shifted.astype(np.uint8)

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        """(256,) whether all symbols of a block are from the alphabet."""
        known: npt.NDArray[np.bool_] = np.all(self._symbols < self.alphabet, axis=1)
        return known

    @cached_property
    def _levels_of_blocks(self) -> Integers:
        """(256, block) the levels of the symbols; 0 for those outside the alphabet."""
        levels = np.zeros(256, np.int64)
        levels[: self.alphabet] = self.levels
        return levels[self._symbols]

    def _signed(self, words: Integers, lengths: Integers, place: int) -> tuple[Integers, Integers]:
        """Codewords of blocks, followed by the signs of the symbols at this place."""
        if self.center is None:
            return words, lengths
        symbols = self._symbols[:, place]
        signs = np.int64(symbols != self.center)
        return words << signs | (symbols < self.center), lengths + signs


@dataclass(frozen=True)
class Huffman(SymbolCode):
    """The best code for the data at hand. Its lengths travel, four bits for each letter.

    A letter is the levels of a block, as digits of one number, the first the lowest; the signs follow in
    order. A codeword has no fraction of a bit, so letters of one level, of which one is frequent,
    would cost more than their entropy. Codeword and signs together have at most ``LOOK_UP_BITS`` bits
    (of 2 bits and more), so the decoder always finds them at once.
    """

    @property
    def letter_count(self) -> int:
        return int(self.level_count**self.block)

    @property
    def table_bytes(self) -> int:
        return huffman.table_bytes(self.letter_count)

    def table(self, counts: Integers) -> Bytes:
        weights = np.bincount(self._letters, counts, self.letter_count)
        signs = 0 if self.center is None else self.block
        return huffman.to_table(huffman.lengths(weights, max(8, LOOK_UP_BITS - signs)))

    def read(self, table: Bytes) -> PrefixCode:
        code = huffman.canonical(huffman.from_table(table, self.letter_count))
        used = self._known & (code.lengths[self._letters] > 0)
        words, lengths = code.words[self._letters].astype(np.int64), code.lengths[self._letters].astype(np.int64)
        for place in range(self.block):
            words, lengths = self._signed(words, lengths, place)
        return PrefixCode(words.astype(np.uint32), np.where(used, lengths, 0).astype(np.uint8))

    @cached_property
    def _letters(self) -> Integers:
        """(256,) the letter of every block."""
        letters: Integers = self._levels_of_blocks @ self.level_count ** np.arange(self.block)
        return letters


@dataclass(frozen=True)
class Elias(SymbolCode):
    """Level i is the integer i + 1; the codewords of a block, each with its sign, lie one after the other.

    Without a center, levels count from the middle outwards.
    """

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
        return self._code

    @cached_property
    def _code(self) -> PrefixCode:
        code = elias.prefix_code(self.kind, self.level_count)
        words, lengths = np.zeros(256, np.int64), np.zeros(256, np.int64)
        for place in range(self.block):
            levels = self._levels_of_blocks[:, place]
            words, lengths = words << code.lengths[levels] | code.words[levels], lengths + code.lengths[levels]
            words, lengths = self._signed(words, lengths, place)
        return PrefixCode(words.astype(np.uint32), np.where(self._known, lengths, 0).astype(np.uint8))
