"""Levels, signs, blocks, and the order of symbols without a center."""

import numpy as np
import pytest

from compressors.coding import CODES, CorruptPayloadError, make
from compressors.coding.symbol_code import Elias, Huffman, SymbolCode


def symbols(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)


def packed(bits: str) -> list[int]:
    """Bytes of ones and zeros; blanks are for the reader."""
    return np.packbits(np.array([*bits.replace(" ", "")], np.uint8)).tolist()


def blocks(bits: int, *values: int) -> np.ndarray:
    """Symbols side by side, the first in the lowest bits; zeros fill the last byte."""
    block = 8 // bits
    rows = np.pad(symbols(*values), (0, -len(values) % block)).reshape(-1, block)
    return (rows << np.arange(block) * bits).sum(axis=1).astype(np.uint8)


def encoded(code: SymbolCode, wanted: np.ndarray) -> np.ndarray:
    data = np.full(code.table_bytes + 5 * len(wanted) + 50, 0xAA, np.uint8)
    used = code.encode(wanted, data)
    assert used is not None
    return data[:used]


def decoded(code: SymbolCode, data: np.ndarray, size: int) -> np.ndarray:
    found = np.full(size, 0xAA, np.uint8)
    code.decode(data, found)
    return found


def streams(*contents: str) -> list[int]:
    """The four streams of so many bits, and before them their lengths in bytes."""
    parts = [packed(bits) for bits in contents]
    return [byte for part in parts for byte in (len(part), 0, 0, 0)] + [byte for part in parts for byte in part]


def test_a_sign_follows_every_level_but_zero():
    """0 to 4 about 2 are levels 2 1 0 1 2, in gamma 011, 010 and 1; then the sign, 1 below the center."""
    data = encoded(make("elias-gamma", 5, 5, 2), symbols(0, 1, 2, 3, 4))
    assert data.tolist() == streams("0111 0101", "1 0100", "0110", "")


def test_elias_codes_symbols_of_a_block_one_by_one():
    """Two bits: 0 to 2 about 1 in fours, in omega 0 and 10 0 with signs; the filling zeros are symbols too."""
    data = encoded(make("elias", 2, 3, 1), blocks(2, 0, 1, 2, 1, 1, 1, 1, 1, 2))
    assert data.tolist() == streams("1001 0 1000 0", "0 0 0 0", "1000 1001 1001 1001", "")


def test_huffman_counts_levels():
    """32 levels, of which 1 occurs six times and 0 five times: one bit each, and signs."""
    data = encoded(make("huffman", 6, 63, 31), symbols(31, 30, 32, 31, 30, 32, 31, 30, 31, 32, 31))
    assert data[:16].tolist() == [0x11, *[0] * 15]
    assert data[16:].tolist() == streams("0 11 10", "0 11 10", "0 11 0", "10 0")


def test_huffman_without_center_codes_symbols():
    """Of 17 symbols the counts 1 8 1 3 of the first four have lengths 3 1 3 2."""
    data = encoded(make("huffman", 5, 17, None), symbols(1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 0, 2))
    assert data[:9].tolist() == [0x13, 0x23, *[0] * 7]
    assert data[9:].tolist() == streams("0 0 0 0", "0 0 0 0", "10 10 10 110", "111")


def test_letters_of_several_levels():
    """Four bits, 9 symbols about 4: two by two they make letters of levels l + 5 l'; signs follow in order.

    0 0, -2 +1, 0 0, 0 -1 and 0 0 are the letters 0, 2 + 5, 0, 5, 0: lengths 1, 2, 2 for letters 0, 5, 7 of 25.
    """
    code = make("huffman", 4, 9, 4)
    assert (code.block, code.letter_count, code.table_bytes) == (2, 25, 13)
    wanted = blocks(4, 4, 4, 2, 5, 4, 4, 4, 3, 4, 4)
    data = encoded(code, wanted)
    assert data[:13].tolist() == [0x01, 0, 0x20, 0x20, *[0] * 9]
    assert data[13:].tolist() == streams("0 11 10", "0 10 1", "0", "")
    assert (decoded(code, data, 5) == wanted).all()


@pytest.mark.parametrize(
    ("bits", "alphabet", "center", "block", "letters"),
    [
        (1, 2, None, 8, 256),
        (2, 3, 1, 4, 16),
        (2, 4, None, 4, 256),
        (3, 7, 3, 2, 16),
        (3, 8, None, 2, 64),
        (4, 15, 7, 2, 64),
        (4, 16, None, 2, 256),
        (5, 31, 15, 1, 16),
        (7, 128, None, 1, 128),
        (8, 255, 127, 1, 128),
    ],
)
def test_a_block_is_what_fits_in_a_byte_and_a_codeword_in_a_look_up(bits, alphabet, center, block, letters):
    code = Huffman(bits, alphabet, center)
    assert (code.block, code.letter_count) == (block, letters)
    counts = np.zeros(256, np.int64)
    counts[code.read(code.table(np.ones(256, np.int64))).lengths > 0] = 1
    counts[counts > 0] = (1.5 ** np.arange(counts.sum()) % 1e15).astype(np.int64) + 1
    assert code.read(code.table(counts)).lengths.max() <= 12


@pytest.mark.parametrize(
    ("bits", "alphabet", "order"),
    [(5, 1, [0]), (5, 2, [1, 0]), (5, 4, [2, 1, 3, 0]), (5, 5, [2, 1, 3, 0, 4]), (5, 6, [3, 2, 4, 1, 5, 0])],
)
def test_elias_without_center_counts_from_the_middle_outwards(bits, alphabet, order):
    code = make("elias-gamma", bits, alphabet, None).read(symbols())
    words = [f"{code.words[symbol]:0{code.lengths[symbol]}b}" for symbol in order]
    assert words == ["1", "010", "011", "00100", "00101", "00110"][:alphabet]


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("missing", [0, 1])
def test_round_trip(name, bits, missing):
    """All symbols or one fewer, without a center and with one in the middle and at the side."""
    random = np.random.default_rng(bits)
    alphabet = 2**bits - missing
    for center in (None, alphabet // 2, 0):
        code = make(name, bits, alphabet, center)
        for spread in (0.2, alphabet / 12, 10 * alphabet):
            for size in (0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 8001):
                values = np.clip(np.rint(alphabet // 2 + spread * random.standard_normal(size)), 0, alphabet - 1)
                wanted = blocks(bits, *values)
                assert (decoded(code, encoded(code, wanted), len(wanted)) == wanted).all()


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("center", [0, 1, 200, 255, None])
def test_unlikely_symbols_come_back(name, center):
    """All of 256, around a center at the side too, among many others."""
    wanted = np.concatenate([np.repeat([0, 255, 7], 100_000), np.arange(256)]).astype(np.uint8)
    code = make(name, 8, 256, center)
    assert (decoded(code, encoded(code, wanted), len(wanted)) == wanted).all()


@pytest.mark.parametrize("code", [make("huffman", 4, 15, 7), make("elias", 4, 15, 7)])
def test_a_symbol_outside_the_alphabet_is_refused(code):
    wrong, right = blocks(4, 3, 15, 2, 2), blocks(4, 3, 14, 2, 2)
    code.check(right)
    code.check(right[:0])
    for refuse in (code.check, lambda wrong: code.encode(wrong, np.empty(200, np.uint8))):
        with pytest.raises(CorruptPayloadError, match="symbol 15 where only 0 to 14 can be"):
            refuse(wrong)


@pytest.mark.parametrize("name", CODES)
def test_no_room(name):
    """What might not be shorter than its room is not written."""
    code = make(name, 4, 15, 7)
    wanted = blocks(4, *[7, 8, 7, 6, 9, 7] * 50)
    used = len(encoded(code, wanted))
    for room in (0, 3, used):
        assert code.encode(wanted, np.empty(room, np.uint8)) is None
    assert code.encode(wanted, np.empty(used + 5, np.uint8)) == used


@pytest.mark.parametrize("name", CODES)
def test_data_of_another_size_are_refused(name):
    code = make(name, 4, 15, 7)
    data = encoded(code, blocks(4, *[7, 8, 7, 6, 9, 7] * 50))
    for wrong, size in ((data[:-1], 150), (data[:3], 150), (data[:0], 150), (data, 100), (data, 200)):
        with pytest.raises(CorruptPayloadError):
            decoded(code, wrong, size)


def test_names():
    assert make("elias", 4, 8, 3) == Elias(4, 8, 3, "omega")
    assert make("elias-gamma", 4, 8, 3) == Elias(4, 8, 3, "gamma")
    assert make("elias-delta", 4, 8, None) == Elias(4, 8, None, "delta")
    assert make("huffman", 4, 8, 3) == Huffman(4, 8, 3)
