"""Expected bits of a coordinate, from the probabilities of its levels.

``probabilities`` is (n,), n <= 256, at least 0 and with a sum of 1; index 0 is the level zero, whose
sign is not sent. All lengths are in bits for every coordinate.
"""

import numpy as np
import numpy.typing as npt

from compressors.coding import elias, huffman


def entropy(probabilities: npt.ArrayLike) -> float:
    """H(p): no code of single levels is shorter."""
    p = _checked(probabilities)
    p = p[p > 0]
    return max(0.0, -float((p * np.log2(p)).sum()))


def huffman_length(probabilities: npt.ArrayLike, block: int = 1) -> float:
    """The expected codeword of the best prefix code, without signs; at most H(p) + 1 / block.

    Args:
        block: number of independent levels that share a codeword; there are at most 256 such blocks.
    """
    p = _checked(probabilities)
    letters = p
    for _ in range(block - 1):
        letters = np.outer(p, letters).ravel()
    return float(letters @ huffman.lengths(letters)) / block


def elias_length(probabilities: npt.ArrayLike, kind: str = "omega") -> float:
    """The expected codeword of an Elias code (``elias.CODES``) of index + 1, without signs."""
    p = _checked(probabilities)
    return float(p @ elias.prefix_code(kind, len(p)).lengths)


def sign_bits(probabilities: npt.ArrayLike) -> float:
    """1 - p_0: one bit for a level other than zero."""
    return float(1 - _checked(probabilities)[0])


def bound(probabilities: npt.ArrayLike) -> float:
    """H(p) + 1 + (1 - p_0): Huffman's code and signs take no more.

    The best prefix code is at most one bit above the entropy (Shannon); that stays true with 256
    letters and a limit of 15 bits.
    """
    return entropy(probabilities) + 1 + sign_bits(probabilities)


def bucket_bound(probabilities: npt.ArrayLike, bucket_size: int, header_bits: int = 32) -> float:
    """Bits of a bucket of ``bucket_size`` coordinates: its header, and ``bound`` for each (Q-GenX, CODE o Q)."""
    return header_bits + bucket_size * bound(probabilities)


def _checked(probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
    p = np.asarray(probabilities, np.float64)
    if not (p.ndim == 1 and 1 <= len(p) <= 256 and (p >= 0).all() and abs(p.sum() - 1) < 1e-6):
        raise ValueError("probabilities must be a vector of 1 to 256 numbers, none below 0, that add up to 1")
    return p
