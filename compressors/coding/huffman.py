"""Canonical Huffman codes of bounded length (Huffman, 1952; Larmore and Hirschberg, 1990).

Codewords are numbered by length, then by letter, so the lengths alone say what they are. A lone
letter has one bit, and the other codeword of one bit is unused.
"""

import numpy as np
import numpy.typing as npt

from compressors.coding.errors import CorruptPayloadError
from compressors.coding.limits import MAX_LENGTH
from compressors.coding.prefix import Bytes, PrefixCode


def lengths(weights: npt.ArrayLike, limit: int = MAX_LENGTH) -> Bytes:
    """The lengths, at most ``limit`` bits, that make the weighted sum of lengths least.

    Args:
        weights: (n,) counts or probabilities, n <= 256, of which at most 2^limit are not 0.

    Returns:
        (n,) uint8; 0 where the weight is 0.
    """
    weights = np.asarray(weights, np.float64)
    letters = np.flatnonzero(weights)
    letters = letters[np.argsort(weights[letters], kind="stable")]
    result = np.zeros(len(weights), np.uint8)
    if len(letters) < 2:
        result[letters] = 1
        return result

    from compressors.coding.merge import package_merge  # numba takes a second to import

    result[letters] = package_merge(weights[letters], limit)
    return result


def canonical(lengths: Bytes) -> PrefixCode:
    """The code with these lengths, (n,) uint8 of at most 15.

    Raises:
        CorruptPayloadError: they are not those of a Huffman code.
    """
    used = np.flatnonzero(lengths)
    order = used[np.argsort(lengths[used], kind="stable")]
    spans = 1 << MAX_LENGTH - lengths[order].astype(np.int64)
    kraft = spans.sum() / (1 << MAX_LENGTH)
    if kraft != 1 and not (len(order) < 2 and (lengths[order] == 1).all()):
        raise CorruptPayloadError(f"the code lengths have a Kraft sum of {kraft:.4g} instead of 1")
    words = np.zeros(len(lengths), np.uint32)
    words[order] = (np.cumsum(spans) - spans) // spans
    return PrefixCode(words, lengths)


def table_bytes(letters: int) -> int:
    """Returns the bytes of the lengths of ``letters`` letters."""
    return -(-letters // 2)


def to_table(lengths: Bytes) -> Bytes:
    """The lengths as four bits each, an even letter in the lower half of its byte."""
    padded = np.pad(lengths, (0, len(lengths) % 2))
    return (padded[::2] | padded[1::2] << 4).astype(np.uint8)


def from_table(table: Bytes, letters: int) -> Bytes:
    """The lengths that ``to_table`` wrote.

    Raises:
        CorruptPayloadError: the table is too short.
    """
    if len(table) != table_bytes(letters):
        raise CorruptPayloadError(f"{len(table)} bytes do not hold the code lengths of {letters} letters")
    return np.stack([table & 15, table >> 4], axis=1).ravel()[:letters].astype(np.uint8)
