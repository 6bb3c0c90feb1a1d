"""The largest coordinates of rows, by counting their leading bits."""

from numba import int32, int64, uint32

from compressors.kernels.cpu.lanes import borrow, inline, kernel

BINS = 1 << 11
"""Counts of one pass, which looks at so many values of 11 bits, or of the last 9."""


@kernel
def select(words, places, counts, first, last):
    """Writes the places of the largest magnitudes of these rows of float32's bits (uint32), increasing.

    Args:
        words: (rows, length).
        places: (rows, count) int32.
        counts: room for ``BINS`` int32.
    """
    words, places, counts = borrow(words), borrow(places), borrow(counts)
    length, count = words.shape[1], places.shape[1]
    for row in range(first, last):
        above, wanted = uint32(0), int64(count)
        for shift, bits in ((20, 11), (9, 11), (0, 9)):
            above, wanted = _narrow(words, row, length, above, wanted, shift, bits, counts)
        found = 0
        for place in range(length):
            word = uint32(words[row, place] & uint32(0x7FFFFFFF))
            if word > above or (word == above and wanted > 0):
                if word == above:
                    wanted -= 1
                places[row, found] = place
                found += 1


@inline
def _narrow(words, row, length, prefix, wanted, shift, bits, counts):
    """Returns the next bits of the least magnitude that is chosen, and how many are wanted that begin with them."""
    mask = uint32((1 << bits) - 1)
    counts[: 1 << bits] = int32(0)
    high = uint32(shift + bits)
    for place in range(length):
        word = uint32(words[row, place] & uint32(0x7FFFFFFF))
        if (word >> high) == (prefix >> high):
            counts[(word >> uint32(shift)) & mask] += 1
    value = int64(mask)
    while counts[value] < wanted:
        wanted -= counts[value]
        value -= 1
    return uint32(prefix | uint32(value << shift)), wanted
