"""Bit streams of prefix codes, compiled by Numba.

A stream holds the codewords one after the other. The first bit of a codeword is its highest, the
first bit of the stream is the highest of the first byte, and zeros fill the last byte. Of the 64
bits held at a time up to 7 belong to a byte begun, which leaves room for three codewords of 19.
"""

import numpy as np
from numba import njit, uint8, uint16, uint64

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def count(symbols):  # type: ignore[no-untyped-def]
    """How often each of the 256 possible symbols occurs."""
    lanes = np.zeros((4, 256), np.int64)  # equal neighbours do not wait for each other
    whole = len(symbols) // 4 * 4
    for i in range(0, whole, 4):
        for lane in range(4):
            lanes[lane, symbols[i + lane]] += 1
    for symbol in symbols[whole:]:
        lanes[0, symbol] += 1
    return lanes[0] + lanes[1] + lanes[2] + lanes[3]


@_jit
def encode(symbols, words, lengths, stream):  # type: ignore[no-untyped-def]
    """Collects three codewords at a time; the last ones byte by byte, not to write beyond the end."""
    window, filled, at = uint64(0), uint64(0), uint64(0)
    start = 0
    while start + 3 <= len(symbols) and at + uint64(8) <= uint64(len(stream)):
        for i in range(start, start + 3):
            length = uint64(lengths[symbols[i]])
            window = (window << length) | uint64(words[symbols[i]])
            filled += length
        _store(stream, at, window << (uint64(64) - filled))
        at += filled >> uint64(3)
        filled &= uint64(7)
        start += 3

    for i in range(start, len(symbols)):
        length = uint64(lengths[symbols[i]])
        window = (window << length) | uint64(words[symbols[i]])
        filled += length
        while filled >= uint64(8):
            filled -= uint64(8)
            stream[at] = uint8(window >> filled)
            at += uint64(1)
    if filled:
        stream[at] = uint8(window << (uint64(8) - filled))


@_jit
def decode(stream, words, lengths, symbols):  # type: ignore[no-untyped-def]
    """Fills ``symbols``; False if the stream does not hold exactly so many. Reads nothing beyond its end."""
    width = 1
    for length in lengths:
        width = max(width, length)
    table = _table(words, lengths, width)
    shift = uint64(64 - width)
    position, shortest = uint64(0), uint64(1)
    start = 0
    while start + 3 <= len(symbols) and (position >> uint64(3)) + uint64(8) <= uint64(len(stream)):
        window = _load(stream, position >> uint64(3)) << (position & uint64(7))
        for i in range(start, start + 3):
            entry = table[window >> shift]
            length = uint64(entry & uint16(31))
            symbols[i] = uint8(entry >> uint16(5))
            window <<= length
            position += length
            shortest = min(shortest, length)
        start += 3

    for i in range(start, len(symbols)):
        window = _load_some(stream, position >> uint64(3)) << (position & uint64(7))
        entry = table[window >> shift]
        length = uint64(entry & uint16(31))
        symbols[i] = uint8(entry >> uint16(5))
        position += length
        shortest = min(shortest, length)

    rest = _load_some(stream, position >> uint64(3)) << (position & uint64(7))
    last_byte_begun = (position + uint64(7)) >> uint64(3) == uint64(len(stream))
    return shortest > uint64(0) and last_byte_begun and rest == uint64(0)


@_jit
def _table(words, lengths, width):  # type: ignore[no-untyped-def]
    """For all next ``width`` bits: symbol * 32 + length of its codeword; 0 where none begins so."""
    table = np.zeros(1 << width, np.uint16)
    for symbol in range(len(lengths)):
        if lengths[symbol]:
            spare = width - lengths[symbol]
            first = np.int64(words[symbol]) << spare
            table[first : first + (1 << spare)] = uint16(symbol << 5 | lengths[symbol])
    return table


@_jit
def _store(stream, at, window):  # type: ignore[no-untyped-def]
    for k in range(8):
        stream[at + uint64(k)] = uint8(window >> uint64(56 - 8 * k))


@_jit
def _load(stream, at):  # type: ignore[no-untyped-def]
    window = uint64(0)
    for k in range(8):
        window |= uint64(stream[at + uint64(k)]) << uint64(56 - 8 * k)
    return window


@_jit
def _load_some(stream, at):  # type: ignore[no-untyped-def]
    """``_load`` with zeros beyond the end."""
    window = uint64(0)
    for k in range(8):
        if at + uint64(k) < uint64(len(stream)):
            window |= uint64(stream[at + uint64(k)]) << uint64(56 - 8 * k)
    return window
