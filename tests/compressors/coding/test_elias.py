"""Elias codewords against those made by hand."""

import itertools

import pytest

from compressors.coding import elias

GOLDEN = {
    "gamma": {1: "1", 2: "010", 3: "011", 4: "00100", 7: "00111", 8: "0001000", 17: "000010001"},
    "delta": {1: "1", 2: "0100", 3: "0101", 4: "01100", 7: "01111", 8: "00100000", 17: "001010001"},
    "omega": {1: "0", 2: "100", 3: "110", 4: "101000", 7: "101110", 8: "1110000", 15: "1111110", 16: "10100100000"},
}


def bits(kind: str, n: int) -> str:
    word, length = elias.CODES[kind](n)
    return f"{word:0{length}b}"


@pytest.mark.parametrize("kind", GOLDEN)
def test_codewords_made_by_hand(kind):
    assert {n: bits(kind, n) for n in GOLDEN[kind]} == GOLDEN[kind]


@pytest.mark.parametrize(
    ("kind", "lengths"),
    [
        ("gamma", {1: 1, 2: 3, 4: 5, 8: 7, 16: 9, 256: 17}),
        ("delta", {1: 1, 2: 4, 4: 5, 8: 8, 16: 9, 256: 15}),
        ("omega", {1: 1, 2: 3, 4: 6, 8: 7, 16: 11, 256: 16}),
    ],
)
def test_lengths_grow_at_powers_of_two(kind, lengths):
    for first, length in lengths.items():
        for n in (first, 2 * first - 1):
            assert elias.CODES[kind](n)[1] == length


@pytest.mark.parametrize("kind", elias.CODES)
def test_no_codeword_begins_with_another(kind):
    words = sorted(bits(kind, n) for n in range(1, 257))
    assert not any(after.startswith(before) for before, after in itertools.pairwise(words))


@pytest.mark.parametrize("kind", elias.CODES)
def test_letter_i_is_the_integer_after_it(kind):
    code = elias.prefix_code(kind, 256)
    for i in (0, 1, 30, 255):
        assert (code.words[i], code.lengths[i]) == elias.CODES[kind](i + 1)
