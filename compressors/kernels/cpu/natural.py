"""Signed powers of two on the wire, for CPU tensors: one pass over every block while it is in cache."""

import numpy as np
from numba import uint32

from compressors.kernels.cpu import bits
from compressors.kernels.cpu.lanes import (
    WIDTH,
    borrow,
    choose,
    fill,
    float_of,
    inline,
    kernel,
    least,
    load,
    store,
    to_byte,
    to_word,
    truncate,
    word_of,
)
from compressors.kernels.cpu.random import chances, keys_of
from compressors.kernels.cpu.rows import read, write

BLOCK = 1024


@kernel
def encode(floats, halves, brain, wide, scale, draw, packed, row, codes, signs, first, last):
    """Writes the blocks from ``first`` to before ``last``; ``wide``: with 9 bits, else with 8."""
    floats, halves, packed = borrow(floats), borrow(halves), borrow(packed)
    row, codes, signs = borrow(row), borrow(codes), borrow(signs)
    numel = len(floats) + len(halves)
    for index in range(first, last):
        start = index * BLOCK
        n = min(BLOCK, numel - start)
        source, at = floats, start
        if len(halves) or n % WIDTH:
            read(floats, halves, brain, start, n, False, row)
            source, at = row, start - start
        _round(source, at, n, scale, wide, draw, keys_of(draw, index), codes, signs)
        position = (BLOCK + BLOCK // 8 if wide else BLOCK) * index
        bits.pack(8, codes, n, packed, position)
        if wide:
            bits.pack(1, signs, n, packed, position + (n + 7) // 8 * 8)


@inline
def _round(source, at, n, scale, wide, draw, keys, codes, signs):
    scales, shift = fill(np.float32(scale)), fill(uint32(23))
    magnitude, infinite = fill(uint32(0x7FFFFFFF)), fill(uint32(0x7F7FFFFF))
    marker, greatest = fill(uint32(255 if wide else 127)), fill(uint32(254 if wide else 126))
    digits, limit = fill(np.float32(2.0**23)), fill(uint32(0x7FFFFF))
    for i in range(0, n, WIDTH):
        word = word_of(load(source, at + i))
        size = word & magnitude
        random = truncate(chances(draw, keys, i) * digits)
        if draw.together:
            random = least(random, limit)
            random = choose(word < fill(uint32(0)), random, limit - random)
        carried = word_of(float_of(size) * scales) + random
        exponent = choose(infinite < size, marker, least(carried >> shift, greatest))
        sign = word >> fill(uint32(31))
        if wide:
            store(codes, i, to_byte(exponent))
            store(signs, i, to_byte(sign))
        else:
            store(codes, i, to_byte(exponent | (sign << fill(uint32(7)))))


@kernel
def decode(packed, wide, factor, floats, halves, brain, add, row, codes, signs, first, last):
    """Writes the powers of two of these blocks, or adds them."""
    floats, halves, packed = borrow(floats), borrow(halves), borrow(packed)
    row, codes, signs = borrow(row), borrow(codes), borrow(signs)
    numel = len(floats) + len(halves)
    factors, nan = fill(np.float32(factor)), fill(np.float32(np.nan))
    marker, shift = fill(uint32(255 if wide else 127)), fill(uint32(23))
    for index in range(first, last):
        start = index * BLOCK
        n = min(BLOCK, numel - start)
        position = (BLOCK + BLOCK // 8 if wide else BLOCK) * index
        bits.unpack(8, packed, position, n, codes)
        if wide:
            bits.unpack(1, packed, position + (n + 7) // 8 * 8, n, signs)
        direct = len(floats) > 0 and n % WIDTH == 0
        out, at = (floats, start) if direct else (row, start - start)
        for i in range(0, n, WIDTH):
            code = to_word(load(codes, i))
            sign = to_word(load(signs, i)) if wide else code >> fill(uint32(7))
            exponent = code & marker
            power = word_of(float_of(exponent << shift) * factors) | (sign << fill(uint32(31)))
            value = choose(exponent == marker, nan, float_of(power))
            store(out, at + i, load(out, at + i) + value if add and direct else value)
        if not direct:
            write(row, n, floats, halves, brain, start, add)
