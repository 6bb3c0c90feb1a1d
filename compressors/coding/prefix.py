"""Prefix codes, such as Huffman's and Elias's, and their bit streams."""

from types import ModuleType
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from compressors.coding.errors import CorruptPayloadError

Bytes: TypeAlias = npt.NDArray[np.uint8]


class PrefixCode(NamedTuple):
    """Codewords for the symbols 0 to n - 1, n <= 256; none is the beginning of another."""

    words: npt.NDArray[np.uint32]
    lengths: Bytes
    """Bits of each codeword, at most 32; 0 for a symbol that does not occur."""

    def most_bytes(self, counts: npt.NDArray[np.int64]) -> int:
        """Bytes that are enough for symbols of which i occurs ``counts[i]`` times; at most one a stream is too much."""
        streams = _kernels().stream_count(int(counts.sum()))
        return 5 * int(streams) - (-int(counts @ self.lengths.astype(np.int64)) // 8)

    def encode(self, symbols: Bytes, data: Bytes) -> int:
        """Writes the codewords of ``symbols`` (1-D) to the front of ``data``, which has at least ``most_bytes``.

        Returns:
            The number of bytes written.
        """
        return int(_kernels().encode(symbols, self.words, self.lengths, data))

    def decode(self, data: Bytes, symbols: Bytes) -> None:
        """Fills ``symbols`` from ``data`` (both 1-D).

        Raises:
            CorruptPayloadError: the data are not those of exactly so many codewords.
        """
        if not _kernels().decode(data, self.words, self.lengths, symbols):
            raise CorruptPayloadError(f"bit streams of {len(data)} bytes do not hold {len(symbols)} symbols")


def count(symbols: Bytes) -> npt.NDArray[np.int64]:
    """Returns (256,) how often each possible symbol occurs."""
    counts: npt.NDArray[np.int64] = _kernels().count(symbols)
    return counts


def join(symbols: Bytes, bits: int) -> Bytes:
    """Every two symbols of ``bits`` bits as one, the first the lower one; the last of an odd number is repeated."""
    blocks = np.empty(-(-len(symbols) // 2), np.uint8)
    _kernels().join(np.concatenate([symbols, symbols[-1:]]) if len(symbols) % 2 else symbols, bits, blocks)
    return blocks


def split(blocks: Bytes, bits: int, size: int) -> Bytes:
    """The ``size`` symbols that ``join`` made one of every two."""
    symbols = np.empty(2 * len(blocks), np.uint8)
    _kernels().split(blocks, bits, symbols)
    return symbols[:size]


def _kernels() -> ModuleType:
    from compressors.coding import stream  # numba takes a second to import

    return stream
