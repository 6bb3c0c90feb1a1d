"""Bit streams of prefix codes: golden bytes, round trips, and streams that no encoder writes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from compressors.coding import CorruptPayloadError, PrefixCode, elias, huffman
from compressors.coding.prefix import count

KINDS = ("huffman", *elias.CODES)
SIZES = (0, 1, 2, 3, 4, 5, 8, 20, 21, 22, 23, 24, 25, 1000, 4099)
THREE = PrefixCode(np.array([0, 2, 3], np.uint32), np.array([1, 2, 2], np.uint8))
"""Codewords 0, 10 and 11."""


def fitted(kind: str, alphabet: int, symbols: np.ndarray) -> PrefixCode:
    if kind == "huffman":
        return huffman.canonical(huffman.lengths(count(symbols)[:alphabet]))
    return elias.prefix_code(kind, alphabet)


def encoded(code: PrefixCode, symbols: np.ndarray) -> np.ndarray:
    stream = np.full(code.stream_bytes(count(symbols)[: len(code.lengths)]), 0xAA, np.uint8)
    code.encode(symbols, stream)
    return stream


def decoded(code: PrefixCode, stream: np.ndarray, size: int) -> np.ndarray:
    symbols = np.full(size, 0xAA, np.uint8)
    code.decode(stream, symbols)
    return symbols


def test_bits_run_from_the_highest_of_the_first_byte():
    """0 10 11 11 0 is 01011110, then 10 is 10 and six zeros."""
    symbols = np.array([0, 1, 2, 2, 0, 1], np.uint8)
    stream = encoded(THREE, symbols)
    assert stream.tolist() == [0b01011110, 0b10000000]
    assert (decoded(THREE, stream, 6) == symbols).all()


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
def test_a_stream_is_of_so_many_symbols_and_no_more(kind):
    symbols = np.minimum(np.random.default_rng(3).geometric(0.4, 500) - 1, 15).astype(np.uint8)
    code = fitted(kind, 16, symbols)
    stream = encoded(code, symbols)
    longer = np.concatenate([stream, np.zeros(1, np.uint8)])
    wrong_streams = [(stream[:-1], 500), (longer, 500), (stream[:0], 500), (stream, 450), (stream, 550), (stream, 0)]
    for wrong, size in wrong_streams:
        with pytest.raises(CorruptPayloadError, match=f"of {len(wrong)} bytes does not hold {size} symbols"):
            decoded(code, wrong, size)


@pytest.mark.parametrize("size", [1, 6, 8, 23, 400])
def test_only_zeros_fill_the_last_byte(size):
    symbols = np.ones(size, np.uint8)
    symbols[0] = 0  # an odd number of bits, so at least one is left over
    stream = encoded(THREE, symbols)
    stream[-1] |= 1
    with pytest.raises(CorruptPayloadError):
        decoded(THREE, stream, size)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 200])
def test_bits_that_are_no_codeword(size):
    """A lone symbol has the codeword 0; here every bit in turn is the 1 that nobody has."""
    code = PrefixCode(np.zeros(1, np.uint32), np.ones(1, np.uint8))
    assert (decoded(code, np.zeros(-(-size // 8), np.uint8), size) == 0).all()
    for bit in range(size):
        stream = np.zeros(-(-size // 8), np.uint8)
        stream[bit // 8] = 0x80 >> bit % 8
        with pytest.raises(CorruptPayloadError):
            decoded(code, stream, size)


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes_are_the_stream_of_what_they_decode_to_or_refused(kind):
    random = np.random.default_rng(5)
    code = fitted(kind, 11, np.array([0, 0, 0, 1, 2, 2, 5, 9], np.uint8))
    outcomes = {True: 0, False: 0}
    for _ in range(4000):
        size = int(random.integers(0, 20))
        stream = random.integers(0, 256, random.integers(size // 8, size // 2 + 2)).astype(np.uint8)
        stream[-1:] &= np.uint8(random.choice([0, 0x80, 0xC0, 0xF0]))
        symbols = np.full(size + 64, 0xAA, np.uint8)
        try:
            code.decode(stream, symbols[32:-32])
        except CorruptPayloadError:
            outcomes[False] += 1
        else:
            assert (encoded(code, symbols[32:-32]) == stream).all()
            outcomes[True] += 1
        assert (symbols[:32] == 0xAA).all()
        assert (symbols[-32:] == 0xAA).all()
    assert min(outcomes.values()) > 100


def test_encoder_stays_within_the_stream():
    random = np.random.default_rng(6)
    for size in range(80):
        symbols = random.integers(0, 7, size).astype(np.uint8)
        code = fitted("gamma", 7, symbols)
        guarded = np.full(len(encoded(code, symbols)) + 32, 0xAA, np.uint8)
        code.encode(symbols, guarded[16:-16])
        assert (guarded[:16] == 0xAA).all()
        assert (guarded[-16:] == 0xAA).all()


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
