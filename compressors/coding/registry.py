"""Entropy codes by name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compressors.coding.symbol_code import SymbolCode

CODES = ("huffman", "elias", "elias-gamma", "elias-delta")
"""Names that ``make`` takes; ``elias`` is omega, the code of QSGD and Q-GenX."""


@lru_cache(maxsize=64)
def make(name: str, bits: int, alphabet: int, center: int | None) -> SymbolCode:
    """Returns the code called ``name``, one of ``CODES``; see ``SymbolCode`` for the other arguments."""
    from compressors.coding.symbol_code import Elias, Huffman  # numpy takes a tenth of a second to import

    if name == "huffman":
        return Huffman(bits, alphabet, center)
    return Elias(bits, alphabet, center, name.removeprefix("elias").removeprefix("-") or "omega")
