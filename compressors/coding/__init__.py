"""Entropy codes for the symbols of a payload, as bit streams compiled by Numba.

``huffman`` (``merge`` computes its lengths) and ``elias`` say which codewords letters have,
``symbol_code`` which letters symbols make. ``prefix`` is any prefix code, ``stream`` writes and reads
its bits. ``expected`` computes lengths from probabilities.
"""

from functools import lru_cache

from compressors.coding.prefix import Bytes, CorruptPayloadError, PrefixCode, join, split
from compressors.coding.symbol_code import Elias, Huffman, SymbolCode

CODES = ("huffman", "elias", "elias-gamma", "elias-delta")
"""Names that ``make`` takes; ``elias`` is omega, the code of QSGD and Q-GenX."""


@lru_cache(maxsize=64)
def make(name: str, bits: int, alphabet: int, center: int | None) -> SymbolCode:
    """The code called ``name``, one of ``CODES``; see ``SymbolCode`` for the other arguments."""
    if name == "huffman":
        return Huffman(bits, alphabet, center)
    return Elias(bits, alphabet, center, name.removeprefix("elias").removeprefix("-") or "omega")


__all__ = [
    "CODES",
    "Bytes",
    "CorruptPayloadError",
    "Elias",
    "Huffman",
    "PrefixCode",
    "SymbolCode",
    "join",
    "make",
    "split",
]
