"""Bit streams of prefix codes: golden bytes, round trips, and streams that no encoder writes."""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest

from compressors.coding import CorruptPayloadError, elias, huffman
from compressors.coding.prefix import PrefixCode, count, join, split

KINDS = ("huffman", *elias.CODES)
SIZES = (0, 1, 2, 3, 4, 5, 8, 20, 21, 22, 23, 24, 25, 1000, 4099)
GROUP = 1 << 16
"""Symbols of a group of four streams."""
THREE = PrefixCode(np.array([0, 2, 3], np.uint32), np.array([1, 2, 2], np.uint8))
"""Codewords 0, 10 and 11."""


def fitted(kind: str, alphabet: int, symbols: np.ndarray) -> PrefixCode:
    if kind == "huffman":
        return huffman.canonical(huffman.lengths(count(symbols)[:alphabet]))
    return elias.prefix_code(kind, alphabet)


def encoded(code: PrefixCode, symbols: np.ndarray) -> np.ndarray:
    data = np.full(code.most_bytes(count(symbols)[: len(code.lengths)]), 0xAA, np.uint8)
    used = code.encode(symbols, data)
    assert used <= len(data) <= used + 4 * -(-len(symbols) // GROUP)
    return data[:used]


def decoded(code: PrefixCode, stream: np.ndarray, size: int) -> np.ndarray:
    symbols = np.full(size, 0xAA, np.uint8)
    code.decode(stream, symbols)
    return symbols


def directory(*sizes: int) -> list[int]:
    return np.array(sizes, "<u4").view(np.uint8).tolist()


def test_bits_run_from_the_highest_of_the_first_byte():
    """15 symbols are streams of 4, 4, 4 and 3: 0 10 11 11, 0 10 10 10, 0 0 0 0, 11 11 11, filled up with zeros."""
    symbols = np.array([0, 1, 2, 2, 0, 1, 1, 1, 0, 0, 0, 0, 2, 2, 2], np.uint8)
    data = encoded(THREE, symbols)
    assert data.tolist() == [*directory(1, 1, 1, 1), 0b01011110, 0b01010100, 0b0000_0000, 0b11111100]
    assert (decoded(THREE, data, 15) == symbols).all()


def test_streams_that_are_left_without_symbols():
    """Five symbols are streams of 2, 2, 1 and 0."""
    data = encoded(THREE, np.array([0, 1, 2, 2, 0], np.uint8))
    assert data.tolist() == [*directory(1, 1, 1, 0), 0b01000000, 0b11110000, 0]
    assert encoded(THREE, np.empty(0, np.uint8)).tolist() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [GROUP - 1, GROUP, GROUP + 1, 3 * GROUP + 17])
def test_several_groups(kind, size):
    """The streams are of equal numbers of symbols, and each could be decoded alone."""
    symbols = np.minimum(np.random.default_rng(size).geometric(0.4, size) - 1, 15).astype(np.uint8)
    code = fitted(kind, 16, symbols)
    data = encoded(code, symbols)
    assert (decoded(code, data, size) == symbols).all()
    streams = 4 * -(-size // GROUP)
    sizes = data[: 4 * streams].view("<u4")
    assert sizes.sum() + 4 * streams == len(data)
    bits = code.lengths[symbols].astype(int)
    share = -(-size // streams)
    assert sizes.tolist() == [-(-bits[i : i + share].sum() // 8) for i in range(0, share * streams, share)]


def test_parts_of_very_different_density():
    """One stream of a group ends long before the others, and codewords are too long to be looked up at once."""
    symbols = np.concatenate([np.zeros(40_000, np.uint8), np.random.default_rng(1).integers(0, 256, 40_000)])
    symbols = symbols.astype(np.uint8)
    for kind in KINDS:
        code = fitted(kind, 256, symbols)
        assert (decoded(code, encoded(code, symbols), len(symbols)) == symbols).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alphabet", [1, 2, 3, 4, 7, 16, 100, 255, 256])
def test_round_trip(kind, alphabet):
    random = np.random.default_rng(alphabet)
    for p in (0.9, 0.5, 1e-3):
        for size in SIZES:
            symbols = np.minimum(random.geometric(p, size) - 1, alphabet - 1).astype(np.uint8)
            code = fitted(kind, alphabet, symbols)
            assert (decoded(code, encoded(code, symbols), size) == symbols).all()


@pytest.mark.parametrize("length", [15, 17, 19])
def test_the_longest_codewords_come_back(length):
    """Codewords 1, 01, 001, ... at every place of a byte, and many long ones side by side."""
    lengths = np.arange(1, length + 1)
    code = PrefixCode(np.ones(length, np.uint32), lengths.astype(np.uint8))
    random = np.random.default_rng(length)
    for symbols in (random.integers(0, length, 3000), np.full(3000, length - 1)):
        symbols = symbols.astype(np.uint8)
        assert (decoded(code, encoded(code, symbols), 3000) == symbols).all()


@pytest.mark.parametrize("kind", KINDS)
def test_data_are_of_so_many_symbols_and_no_more(kind):
    symbols = np.minimum(np.random.default_rng(3).geometric(0.4, 500) - 1, 15).astype(np.uint8)
    code = fitted(kind, 16, symbols)
    data = encoded(code, symbols)
    longer = np.concatenate([data, np.zeros(1, np.uint8)])
    moved = data.copy()
    moved[:16].view("<u4")[:2] += np.array([1, -1], np.int32).view(np.uint32)
    wrong_data = [(data[:-1], 500), (longer, 500), (data[:0], 500), (data[:15], 500), (moved, 500)]
    for wrong, size in [*wrong_data, (data, 450), (data, 550), (data, 0)]:
        with pytest.raises(CorruptPayloadError, match=f"of {len(wrong)} bytes do not hold {size} symbols"):
            decoded(code, wrong, size)


def test_lengths_of_streams_that_cannot_be():
    """They lie far beyond the data, or add up to the right number by overflow only."""
    data = encoded(THREE, np.ones(2000, np.uint8))
    for sizes in ([2**32 - 1] * 4, [0, 0, 0, 0], [500, 2**31, 2**31, 0], [2**32 - 1, 1, 1000, 0]):
        wrong = data.copy()
        wrong[:16].view("<u4")[:] = sizes
        with pytest.raises(CorruptPayloadError):
            decoded(THREE, wrong, 2000)


@pytest.mark.parametrize("size", [1, 9, 22, 33, 400])
def test_only_zeros_fill_the_last_byte(size):
    symbols = np.ones(size, np.uint8)
    symbols[:: -(-size // 4)] = 0  # an odd number of bits in every stream, so at least one is left over
    data = encoded(THREE, symbols)
    ends = 16 + np.cumsum(data[:16].view("<u4"))
    for end in ends[data[:16].view("<u4") > 0]:
        wrong = data.copy()
        wrong[end - 1] |= 1
        with pytest.raises(CorruptPayloadError):
            decoded(THREE, wrong, size)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 200, 4000])
def test_bits_that_are_no_codeword(size):
    """A lone symbol has the codeword 0; here every bit in turn is the 1 that nobody has."""
    code = PrefixCode(np.zeros(1, np.uint32), np.ones(1, np.uint8))
    data = encoded(code, np.zeros(size, np.uint8))
    assert (decoded(code, data, size) == 0).all()
    for bit in range(8 * (len(data) - 16)):
        wrong = data.copy()
        wrong[16 + bit // 8] = 0x80 >> bit % 8
        with pytest.raises(CorruptPayloadError):
            decoded(code, wrong, size)


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_are_the_stream_of_what_they_decode_to_or_refused(kind):
    random = np.random.default_rng(5)
    code = fitted(kind, 11, np.array([0, 0, 0, 1, 2, 2, 5, 9], np.uint8))
    outcomes = {True: 0, False: 0}
    for _ in range(4000):
        size = int(random.integers(1, 13))
        sizes = (np.arange(4) * -(-size // 4) < size) + (random.random(4) < 0.1)  # mostly a byte wherever symbols are
        content = random.integers(0, 256, sizes.sum()).astype(np.uint8)
        content &= random.choice(np.array([0, 0x80, 0xC0, 0xF0], np.uint8), len(content))
        data = np.concatenate([np.array(directory(*sizes), np.uint8), content])
        symbols = np.full(size + 64, 0xAA, np.uint8)
        try:
            code.decode(data, symbols[32:-32])
        except CorruptPayloadError:
            outcomes[False] += 1
        else:
            assert (encoded(code, symbols[32:-32]) == data).all()
            outcomes[True] += 1
        assert (symbols[:32] == 0xAA).all()
        assert (symbols[-32:] == 0xAA).all()
    assert min(outcomes.values()) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_data_stay_within_the_symbols(kind):
    """Long enough for many look-ups at once, right to the ends of symbols that others lie behind."""
    random = np.random.default_rng(9)
    symbols = np.minimum(random.geometric(0.3, 2000) - 1, 200).astype(np.uint8)
    code = fitted(kind, 256, symbols)
    data = encoded(code, symbols)
    for _ in range(300):
        wrong = data.copy()
        for place in random.integers(16, len(data), 5):
            wrong[place] = random.integers(0, 256)
        guarded = np.full(2064, 0xAA, np.uint8)
        with contextlib.suppress(CorruptPayloadError):
            code.decode(wrong, guarded[32:-32])
        assert (guarded[:32] == 0xAA).all()
        assert (guarded[-32:] == 0xAA).all()


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_stays_within_the_data(kind):
    random = np.random.default_rng(6)
    for size in [*range(80), 5000]:
        symbols = random.integers(0, 7, size).astype(np.uint8)
        code = fitted(kind, 7, symbols)
        guarded = np.full(len(encoded(code, symbols)) + 32, 0xAA, np.uint8)
        code.encode(symbols, guarded[16:-16])
        assert (guarded[:16] == 0xAA).all()
        assert (guarded[-16:] == 0xAA).all()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 1000])
def test_two_symbols_side_by_side(size):
    symbols = np.random.default_rng(size).integers(0, 8, size).astype(np.uint8)
    blocks = join(symbols, 3)
    assert blocks.tolist() == [a | b << 3 for a, b in zip(symbols[::2], [*symbols[1::2], *symbols[-1:]], strict=False)]
    assert (split(blocks, 3, size) == symbols).all()


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 1001])
def test_count(size):
    symbols = np.random.default_rng(size).integers(0, 256, size).astype(np.uint8)
    assert (count(symbols) == np.bincount(symbols, minlength=256)).all()


def test_nothing_out_of_bounds_is_touched(tmp_path):
    """All of the above once more, with every index checked."""
    checks = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not out_of_bounds", __file__]
    run = subprocess.run(command, env=os.environ | checks, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
