"""Prefix codes and their bit streams: what Huffman's and Elias's codes share."""

from types import ModuleType
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]


class CorruptPayloadError(ValueError):
    """Bytes that no encoder writes."""


class PrefixCode(NamedTuple):
    """Codewords for symbols 0 to n - 1, n <= 256; none is the beginning of another."""

    words: npt.NDArray[np.uint32]
    lengths: Bytes
    """Bits of each codeword, at most 19; 0 for a symbol that does not occur."""

    def stream_bytes(self, counts: npt.NDArray[np.int64]) -> int:
        """Bytes of the stream in which symbol i occurs ``counts[i]`` times."""
        return -(-int(counts @ self.lengths.astype(np.int64)) // 8)

    def encode(self, symbols: Bytes, stream: Bytes) -> None:
        """Writes the codewords of ``symbols`` (1-D) into ``stream``, which has ``stream_bytes``."""
        _kernels().encode(symbols, self.words, self.lengths, stream)

    def decode(self, stream: Bytes, symbols: Bytes) -> None:
        """Fills ``symbols`` from ``stream`` (both 1-D).

        Raises:
            CorruptPayloadError: the stream does not hold exactly so many codewords.
        """
        if not _kernels().decode(stream, self.words, self.lengths, symbols):
            raise CorruptPayloadError(f"the bit stream of {len(stream)} bytes does not hold {len(symbols)} symbols")


def count(symbols: Bytes) -> npt.NDArray[np.int64]:
    """(256,) how often each possible symbol occurs."""
    counts: npt.NDArray[np.int64] = _kernels().count(symbols)
    return counts


def _kernels() -> ModuleType:
    from compressors.coding import stream  # numba takes a second to import

    return stream
