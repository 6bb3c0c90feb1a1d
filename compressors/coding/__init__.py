"""Entropy codes for the symbols of a payload, as bit streams compiled by Numba.

``huffman`` (``merge`` computes its lengths) and ``elias`` say which codewords letters have, ``symbol_code`` which
letters symbols make, ``registry`` which names codes have. ``prefix`` is any prefix code, ``stream`` writes and reads
its bits. ``expected`` computes lengths from probabilities.
"""

from compressors.coding.errors import CorruptPayloadError
from compressors.coding.registry import CODES, make

__all__ = ["CODES", "CorruptPayloadError", "make"]
