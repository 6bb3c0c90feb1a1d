"""Integers on the wire, for CPU tensors: one pass over every block while it is in cache."""

import numpy as np
from numba import uint32

from compressors.kernels.cpu import bits
from compressors.kernels.cpu.lanes import (
    WIDTH,
    borrow,
    choose,
    fill,
    floor,
    greatest,
    inline,
    kernel,
    load,
    most,
    nearest,
    store,
    to_byte,
    to_float,
    to_word,
    truncate,
    word_of,
)
from compressors.kernels.cpu.random import chances, keys_of
from compressors.kernels.cpu.rows import read, write

BLOCK = 1024


@kernel
def encode(
    floats,
    halves,
    brain,
    scale,
    width,
    limit,
    random,
    draw,
    packed,
    row,
    words,
    codes,
    facts,
    first,
    last,
):
    """Writes the blocks from ``first`` to before ``last``; ``facts``: largest magnitude, number that were clipped."""
    floats, halves, packed = borrow(floats), borrow(halves), borrow(packed)
    row, words, codes = borrow(row), borrow(words), borrow(codes)
    numel = len(floats) + len(halves)
    for index in range(first, last):
        start = index * BLOCK
        n = min(BLOCK, numel - start)
        source, at = floats, start
        if len(halves) or n % WIDTH:
            read(floats, halves, brain, start, n, False, row)
            source, at = row, start - start
        finite, largest, clipped = _round(source, at, n, scale, limit, random, draw, index, words)
        if finite:
            facts[0] = max(facts[0], largest)
            facts[1] += clipped
        else:
            words[:n] = uint32(2 * limit + 1)
        _pack(width, words, codes, n, packed, width * (BLOCK // 8) * index)


@inline
def _round(row, at, n, scale, limit, random, draw, index, words):
    """Writes the codes of a block; returns whether it is finite, the largest magnitude and the number clipped."""
    scales, top, bottom = fill(scale), fill(np.float32(limit)), fill(np.float32(-limit))
    offset, zero, one = fill(uint32(limit)), fill(uint32(0)), fill(uint32(1))
    magnitude, infinite = fill(uint32(0x7FFFFFFF)), fill(uint32(0x7F7FFFFF))
    keys = keys_of(draw, index)
    beyond, greatest_seen, not_finite = zero, zero, zero
    for i in range(0, n, WIDTH):
        x = load(row, at + i)
        t = x * scales
        if random:
            below = floor(t)
            integer = below + choose(chances(draw, keys, i) < t - below, fill(np.float32(1)), fill(np.float32(0)))
        else:
            integer = nearest(t)
        not_finite = not_finite | choose(infinite < (word_of(x) & magnitude), one, zero)
        beyond = beyond + choose(top < integer, one, zero) + choose(integer < bottom, one, zero)
        integer = choose(top < integer, top, choose(integer < bottom, bottom, integer))
        greatest_seen = most(greatest_seen, word_of(integer) & magnitude)
        store(words, i, truncate(integer) + offset)
    store(words, n + WIDTH, beyond)
    clipped = np.int64(0)
    for lane in range(WIDTH):
        clipped += np.int64(words[n + WIDTH + lane])
    return greatest(not_finite) == 0, _integer(greatest(greatest_seen)), clipped


@inline
def _integer(word):
    """The whole number that a float32 with these bits is."""
    exponent = np.int64(word >> 23) - 150
    digits = np.int64(word & 0x7FFFFF) | np.int64(0x800000)
    if word == 0:
        return np.int64(0)
    return digits << exponent if exponent >= 0 else digits >> -exponent


@kernel
def add(packed, width, limit, sums, words, codes, first, last):
    """Adds the integers of these blocks to ``sums``; returns False if one of them held Inf or NaN."""
    packed, sums, words, codes = borrow(packed), borrow(sums), borrow(words), borrow(codes)
    finite = True
    for index in range(first, last):
        start = index * BLOCK
        n = min(BLOCK, len(sums) - start)
        position = width * (BLOCK // 8) * index
        whole = n - n % WIDTH
        if width <= 8:
            bits.unpack(width, packed, position, n, codes)
            finite = finite and np.int64(codes[0]) != 2 * limit + 1
            offset = fill(uint32(limit))
            for i in range(0, whole, WIDTH):
                store(sums, start + i, load(sums, start + i) + (to_word(load(codes, i)) - offset))
            for i in range(whole, n):
                sums[start + i] = uint32(sums[start + i] + uint32(codes[i]) - uint32(limit))
        else:
            _unpack(width, packed, position, n, codes, words)
            finite = finite and np.int64(words[0]) != 2 * limit + 1
            for i in range(n):
                sums[start + i] = uint32(sums[start + i] + words[i] - uint32(limit))
    return finite


@kernel
def pack(integers, width, offset, packed, words, codes, first, last):
    """Packs the blocks of integers (their bits as uint32)."""
    integers, packed, words, codes = borrow(integers), borrow(packed), borrow(words), borrow(codes)
    for index in range(first, last):
        start = index * BLOCK
        n = min(BLOCK, len(integers) - start)
        for i in range(n):
            words[i] = uint32(integers[start + i] + uint32(offset))
        _pack(width, words, codes, n, packed, width * (BLOCK // 8) * index)


@kernel
def decode(packed, width, offset, factor, floats, halves, brain, add, row, words, codes, first, last):
    """Writes the integers of these blocks times a factor, or adds them."""
    floats, halves, packed = borrow(floats), borrow(halves), borrow(packed)
    row, words, codes = borrow(row), borrow(words), borrow(codes)
    numel = len(floats) + len(halves)
    factors, offsets = fill(factor), fill(uint32(offset))
    strange, nan = fill(uint32(2 * offset + 1)), fill(np.float32(np.nan))
    for index in range(first, last):
        start = index * BLOCK
        n = min(BLOCK, numel - start)
        _unpack(width, packed, width * (BLOCK // 8) * index, n, codes, words)
        direct = len(floats) > 0 and n % WIDTH == 0
        out, at = (floats, start) if direct else (row, start - start)
        for i in range(0, n, WIDTH):
            word = load(words, i)
            value = choose(word == strange, nan, to_float(word - offsets) * factors)
            store(out, at + i, load(out, at + i) + value if add and direct else value)
        if not direct:
            write(row, n, floats, halves, brain, start, add)


@inline
def _pack(width, words, codes, n, packed, start):
    """The codes of a block, as planes of 8 bits and of what is left."""
    shift = 0
    while shift < width:
        part = min(8, width - shift)
        for i in range(0, n, WIDTH):
            store(codes, i, to_byte(load(words, i) >> fill(uint32(shift))))
        bits.pack(part, codes, n, packed, start)
        start += part * ((n + 7) // 8)
        shift += part


@inline
def _unpack(width, packed, start, n, codes, words):
    shift = 0
    while shift < width:
        part = min(8, width - shift)
        bits.unpack(part, packed, start, n, codes)
        for i in range(0, n, WIDTH):
            word = to_word(load(codes, i)) << fill(uint32(shift))
            store(words, i, word | load(words, i) if shift else word)
        start += part * ((n + 7) // 8)
        shift += part
