"""Entropy codes for the symbols of a payload, as bit streams compiled by Numba.

``huffman`` and ``elias`` say which codewords letters have, ``symbol_code`` which letters symbols
make. ``prefix`` is any prefix code, ``stream`` writes and reads its bits. ``expected`` computes
lengths from probabilities.
"""

from compressors.coding.prefix import Bytes, CorruptPayloadError, PrefixCode
from compressors.coding.symbol_code import Elias, Huffman, SymbolCode, check

CODES = ("huffman", "elias", "elias-gamma", "elias-delta")
"""Names that ``make`` takes; ``elias`` is omega, the code of QSGD and Q-GenX."""


def make(name: str, alphabet: int, center: int | None) -> SymbolCode:
    """The code called ``name``, one of ``CODES``; see ``SymbolCode`` for the other arguments."""
    if name == "huffman":
        return Huffman(alphabet, center)
    return Elias(alphabet, center, name.removeprefix("elias").removeprefix("-") or "omega")


__all__ = ["CODES", "Bytes", "CorruptPayloadError", "Elias", "Huffman", "PrefixCode", "SymbolCode", "check", "make"]
