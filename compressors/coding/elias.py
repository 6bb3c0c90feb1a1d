"""Elias's universal codes of positive integers (Elias, 1975).

They need no table and suit letters of which smaller ones are more likely. A codeword is returned
as (word, length): the number its bits are read as, and how many bits there are.

=== ========= ========= ==============
n   gamma     delta     omega
=== ========= ========= ==============
1   1         1         0
2   010       0100      10 0
3   011       0101      11 0
4   00100     01100     10 100 0
8   0001000   00100000  11 1000 0
16  000010000 001010000 10 100 10000 0
=== ========= ========= ==============
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from compressors.coding.prefix import PrefixCode


def gamma(n: int) -> tuple[int, int]:
    """N = floor(log2 n) zeros, then n in N + 1 bits."""
    return n, 2 * n.bit_length() - 1


def delta(n: int) -> tuple[int, int]:
    """N + 1 in gamma, then n without its leading one, in N bits."""
    bits = n.bit_length() - 1
    word, length = gamma(bits + 1)
    return word << bits | n ^ 1 << bits, length + bits


def omega(n: int) -> tuple[int, int]:
    """A zero; before it, as long as n > 1, n in binary, and n becomes its number of bits less one."""
    word, length = 0, 1
    while n > 1:
        word |= n << length
        length += n.bit_length()
        n = n.bit_length() - 1
    return word, length


CODES: dict[str, Callable[[int], tuple[int, int]]] = {"gamma": gamma, "delta": delta, "omega": omega}


@lru_cache(maxsize=64)
def prefix_code(kind: str, letters: int) -> PrefixCode:
    """The code in which letter i is the integer i + 1. ``kind`` is a name of ``CODES``."""
    words, lengths = zip(*(CODES[kind](i + 1) for i in range(letters)), strict=True)
    return PrefixCode(np.array(words, np.uint32), np.array(lengths, np.uint8))
