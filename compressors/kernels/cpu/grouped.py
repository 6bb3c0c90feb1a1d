"""Rounding to tables of values with a scale for every few coordinates, for CPU tensors."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from compressors.kernels.cpu.lanes import WIDTH, borrow, kernel, store
from compressors.kernels.cpu.random import chances, keys_of
from compressors.kernels.grouped import Table

BLOCK = 256


@lru_cache
def arrays(tables: tuple[Table, ...]) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the values of the tables, filled up with Inf, their symbols, and their numbers of values."""
    values = np.full((len(tables), 256), np.inf)
    symbols = np.zeros((len(tables), 256), np.uint8)
    for index, table in enumerate(tables):
        values[index, : len(table.values)] = table.values
        symbols[index, : len(table.values)] = table.symbols
    return values, symbols, np.array([len(table.values) for table in tables])


@lru_cache
def decoded(tables: tuple[Table, ...]) -> NDArray[np.float64]:
    """Returns the value of every symbol, a row for every table."""
    return np.array([table.decoded() for table in tables])


def room() -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int32]]:
    """Returns room for the random numbers of a block (a half rounds to the nearest), and for a group's search."""
    return np.full(BLOCK, 0.5, np.float32), np.empty(BLOCK), np.empty(BLOCK, np.int32)


@kernel
def encode(vector, length, values, symbols, counts, chosen, scales, nearest, draw, codes, room, first, last):
    """Writes the symbols of the blocks from ``first`` to before ``last``."""
    vector, codes, values, symbols = borrow(vector), borrow(codes), borrow(values), borrow(symbols)
    row, units, below = borrow(room[0]), borrow(room[1]), borrow(room[2])
    for index in range(first, last):
        start = index * BLOCK
        stop = min(start + BLOCK, len(vector))
        if not nearest:
            keys = keys_of(draw, index)
            for i in range(0, BLOCK, WIDTH):
                store(row, i, chances(draw, keys, i))
        for begin in range(start, stop, length):
            group = begin // length
            scale, table = scales[group], chosen[group]
            count = counts[table]
            widest = 1
            while 2 * widest < count:
                widest *= 2
            for j in range(length):
                units[j] = np.float64(vector[begin + j]) / scale if scale > 0 else 0.0
                below[j] = 0
            step = widest
            while step:  # all coordinates at once, which compilers turn into vectors
                for j in range(length):
                    below[j] += step if values[table, below[j] + step] <= units[j] else 0
                step >>= 1
            for j in range(length):
                lower = min(below[j], count - 2)
                past = units[j] - values[table, lower]
                threshold = np.float64(row[begin + j - start]) * (values[table, lower + 1] - values[table, lower])
                up = threshold < past
                if nearest and threshold == past:
                    up = symbols[table, lower + 1] % 2 == 0
                codes[begin + j] = symbols[table, lower + 1 if up else lower]


@kernel
def decode(codes, length, values, chosen, scales, vector, first, last):
    """Writes the values of the groups from ``first`` to before ``last``."""
    vector, codes = borrow(vector), borrow(codes)
    for group in range(first, last):
        scale, table = scales[group], chosen[group]
        for i in range(group * length, (group + 1) * length):
            vector[i] = np.float32(values[table, codes[i]] * scale)
