"""Huffman lengths against a plain Huffman and against brute force; codewords against hand-made ones."""

import heapq
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from compressors.coding import CorruptPayloadError, huffman


def plain_cost(weights: list[float]) -> float:
    """Least weighted sum of lengths without a limit: the sum of all merged weights (Huffman, 1952)."""
    heap = sorted(weights)
    cost = 0.0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    return cost


@pytest.mark.parametrize("n", [2, 3, 4, 5, 16, 100, 255, 256])
def test_lengths_are_optimal_where_the_limit_does_not_bind(n):
    random = np.random.default_rng(n)
    for weights in (random.integers(1, 50, n), random.integers(1, 3, n), np.ones(n, int), random.random(n) + 0.1):
        lengths = huffman.lengths(weights)
        assert (weights * lengths).sum() == pytest.approx(plain_cost(weights.tolist()), rel=1e-12)
        assert (2.0 ** -lengths.astype(float)).sum() == 1


def test_lengths_are_optimal_where_the_limit_binds():
    """Fibonacci numbers want lengths up to 19; of all sets of lengths up to 15 the best is found."""
    weights = [1, 1]
    while len(weights) < 20:
        weights.append(weights[-1] + weights[-2])
    lengths = huffman.lengths(weights)
    assert lengths.max() == 15
    assert (2.0 ** -lengths.astype(float)).sum() == 1
    descending = np.array(weights[::-1])
    best = min((descending * row).sum() for row in trees(len(weights), limit=15))
    assert (np.array(weights) * lengths).sum() == best > plain_cost(weights)


def test_a_lower_limit():
    """Five letters of at most three bits: of weights 16 8 4 2 1 the best lengths are 1 3 3 3 3."""
    assert huffman.lengths([16, 8, 4, 2, 1]).tolist() == [1, 2, 3, 4, 4]
    assert huffman.lengths([16, 8, 4, 2, 1], limit=3).tolist() == [1, 3, 3, 3, 3]
    assert huffman.lengths([1e9, 1, 1, 1], limit=2).tolist() == [2, 2, 2, 2]


def trees(leaves: int, limit: int, nodes: int = 1, depth: int = 0) -> Iterator[tuple[int, ...]]:
    """The depths, in order, of the leaves of every binary tree, from ``nodes`` nodes at ``depth`` on."""
    if depth == limit:
        if nodes == leaves:
            yield (depth,) * leaves
        return
    for here in range(min(leaves, nodes) + 1):
        if nodes == here == leaves:
            yield (depth,) * here
        elif 0 < 2 * (nodes - here) <= leaves - here:
            for below in trees(leaves - here, limit, 2 * (nodes - here), depth + 1):
                yield (depth,) * here + below


def test_letters_that_do_not_occur_have_no_codeword():
    assert huffman.lengths([0, 5, 0, 3, 1]).tolist() == [0, 1, 0, 2, 2]


@pytest.mark.parametrize(("weights", "lengths"), [([], []), ([0, 0], [0, 0]), ([0, 7, 0], [0, 1, 0])])
def test_a_lone_letter_has_one_bit(weights, lengths):
    assert huffman.lengths(weights).tolist() == lengths
    code = huffman.canonical(huffman.lengths(weights))
    assert code.words.tolist() == [0] * len(lengths)


def test_canonical_code_made_by_hand():
    """Lengths 2 1 3 3 for A B C D: B first, then A, then C and D in order."""
    code = huffman.canonical(np.array([2, 1, 3, 3], np.uint8))
    assert [f"{word:0{length}b}" for word, length in zip(*code, strict=True)] == ["10", "0", "110", "111"]


def test_lengths_made_by_hand():
    """Weights 45 13 12 16 9 5 (the textbooks' a to f) have lengths 1 3 3 3 4 4, 224 bits in all."""
    lengths = huffman.lengths([45, 13, 12, 16, 9, 5])
    assert lengths.tolist() == [1, 3, 3, 3, 4, 4]


@pytest.mark.parametrize("n", [1, 2, 5, 8, 256])
def test_no_codeword_begins_with_another(n):
    weights = np.random.default_rng(n).integers(0, 1000, n) ** 2
    code = huffman.canonical(huffman.lengths(weights))
    bits = sorted(f"{word:0{length}b}" for word, length in zip(*code, strict=True) if length)
    assert len(bits) == np.count_nonzero(weights)
    assert not any(after.startswith(before) for before, after in itertools.pairwise(bits))


@pytest.mark.parametrize("lengths", [[1, 1, 1], [1, 2], [2], [15] * 200, [0, 3, 3, 3, 0], [15, 15]])
def test_lengths_of_no_huffman_code_are_refused(lengths):
    with pytest.raises(CorruptPayloadError, match="Kraft sum of"):
        huffman.canonical(np.array(lengths, np.uint8))


@pytest.mark.parametrize("letters", [1, 2, 7, 256])
def test_table(letters):
    lengths = np.random.default_rng(letters).integers(0, 16, letters).astype(np.uint8)
    table = huffman.to_table(lengths)
    assert len(table) == huffman.table_bytes(letters)
    assert (huffman.from_table(table, letters) == lengths).all()
    with pytest.raises(CorruptPayloadError, match="code lengths of"):
        huffman.from_table(table[:-1], letters)


def test_table_made_by_hand():
    assert huffman.to_table(np.array([2, 1, 15], np.uint8)).tolist() == [0x12, 0x0F]
