"""Levels, signs, blocks, and the order of symbols without a center."""

import numpy as np
import pytest

from compressors.coding import CODES, CorruptPayloadError, Elias, Huffman, check, make


def symbols(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)


def packed(bits: str) -> list[int]:
    """Bytes of ones and zeros; blanks are for the reader."""
    return np.packbits([int(bit) for bit in bits.replace(" ", "")]).tolist()


def test_a_sign_follows_every_level_but_zero():
    """0 to 4 about 2 are levels 2 1 0 1 2, in gamma 011, 010 and 1; then the sign, 1 below the center."""
    data = make("elias-gamma", 5, 2).encode(symbols(0, 1, 2, 3, 4))
    assert data.tolist() == packed("0111 0101 1 0100 0110")


def test_huffman_counts_levels():
    """32 levels, of which 1 occurs six times and 0 five times: one bit each, and signs."""
    data = make("huffman", 63, 31).encode(symbols(31, 30, 32, 31, 30, 32, 31, 30, 31, 32, 31))
    assert data[:16].tolist() == [0x11, *[0] * 15]
    assert data[16:].tolist() == packed("0 11 10 0 11 10 0 11 0 10 0")


def test_huffman_without_center_codes_symbols():
    """17 symbols are too many for blocks: counts 1 8 1 3 of the first four have lengths 3 1 3 2."""
    data = make("huffman", 17, None).encode(symbols(1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 0, 2))
    assert data[:9].tolist() == [0x13, 0x23, *[0] * 7]
    assert data[9:].tolist() == packed("0 0 0 0 0 0 0 0 10 10 10 110 111")


def test_blocks_made_by_hand():
    """9 symbols about 4 go two by two into letters of levels l + 5 l'; signs follow the letter in order.

    0 0, -2 +1, 0 0, 0 -1 and again 0, which is doubled to fill up, are the letters 0, 2 + 5, 0, 5, 0:
    lengths 1, 2, 2 for letters 0, 5, 7 of 25.
    """
    code = make("huffman", 9, 4)
    assert (code.block, code.letter_count) == (2, 25)
    data = code.encode(symbols(4, 4, 2, 5, 4, 4, 4, 3, 4))
    assert data[:13].tolist() == [0x01, 0, 0x20, 0x20, *[0] * 9]
    assert data[13:].tolist() == packed("0 11 10 0 10 1 0")
    assert code.decode(data, 9).tolist() == [4, 4, 2, 5, 4, 4, 4, 3, 4]


@pytest.mark.parametrize(
    ("alphabet", "center", "block"),
    [
        (1, None, 4),
        (2, None, 4),
        (3, 1, 4),
        (4, None, 3),
        (7, 3, 2),
        (8, None, 2),
        (15, 7, 2),
        (16, None, 1),
        (31, 15, 1),
    ],
)
def test_a_block_has_at_most_64_letters_and_256_values(alphabet, center, block):
    code = Huffman(alphabet, center)
    assert code.block == block
    assert alphabet**block <= 256
    assert code.letter_count <= 64
    assert block == 4 or alphabet ** (block + 1) > 256 or code.level_count ** (block + 1) > 64


@pytest.mark.parametrize(
    ("alphabet", "order"), [(1, [0]), (2, [1, 0]), (4, [2, 1, 3, 0]), (5, [2, 1, 3, 0, 4]), (6, [3, 2, 4, 1, 5, 0])]
)
def test_elias_without_center_counts_from_the_middle_outwards(alphabet, order):
    data = make("elias-gamma", alphabet, None).encode(symbols(*order))
    assert data.tolist() == packed("1 010 011 00100 00101 00110"[: [0, 1, 5, 9, 15, 21, 27][len(order)]])


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("alphabet", [1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 100, 127, 255, 256])
@pytest.mark.parametrize("centered", [True, False])
def test_round_trip(name, alphabet, centered):
    random = np.random.default_rng(alphabet)
    code = make(name, alphabet, alphabet // 2 if centered else None)
    for spread in (0.2, alphabet / 12, 10 * alphabet):
        for size in (0, 1, 2, 3, 4, 5, 6, 7, 8, 100, 1001):
            values = np.rint(alphabet // 2 + spread * random.standard_normal(size))
            wanted = np.clip(values, 0, alphabet - 1).astype(np.uint8)
            assert code.decode(code.encode(wanted), size).tolist() == wanted.tolist()


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("center", [0, 1, 200, 255, None])
def test_unlikely_symbols_come_back(name, center):
    """All of 256, around a center at the side too, among many others."""
    wanted = np.concatenate([np.repeat([0, 255, 7], 100_000), np.arange(256)]).astype(np.uint8)
    code = make(name, 256, center)
    assert (code.decode(code.encode(wanted), len(wanted)) == wanted).all()


def test_a_symbol_outside_the_alphabet_is_refused():
    check(symbols(3, 14, 2), 15)
    check(symbols(), 15)
    for refuse in (lambda wrong: check(wrong, 15), make("huffman", 15, 7).encode, make("elias", 15, 7).encode):
        with pytest.raises(CorruptPayloadError, match="symbol 15 where only 0 to 14 can be"):
            refuse(symbols(3, 15, 2))


@pytest.mark.parametrize("name", CODES)
def test_data_of_another_size_are_refused(name):
    code = make(name, 15, 7)
    data = code.encode(symbols(*[7, 8, 7, 6, 9, 7] * 50))
    for wrong, size in ((data[:-1], 300), (data[:3], 300), (data[:0], 300), (data, 290), (data, 310)):
        with pytest.raises(CorruptPayloadError):
            code.decode(wrong, size)


def test_names():
    assert make("elias", 8, 3) == Elias(8, 3, "omega")
    assert make("elias-gamma", 8, 3) == Elias(8, 3, "gamma")
    assert make("elias-delta", 8, None) == Elias(8, None, "delta")
    assert make("huffman", 8, 3) == Huffman(8, 3)
