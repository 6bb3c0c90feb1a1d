"""Looking up sixteen numbers at once in tables of up to 256."""

from numba import uint32

from compressors.kernels.cpu.lanes import choose, fill, inline, load, permute


@inline
def look_up_16(table, first, index):
    return permute(load(table, first), index)


def twice(half, size):
    """From the look-up in tables of ``size`` numbers, that in tables of twice as many."""

    @inline
    def look_up(table, first, index):
        upper = fill(uint32(0)) < (index & fill(uint32(size)))
        return choose(upper, half(table, first + size, index), half(table, first, index))

    return look_up


_look_up_32 = twice(look_up_16, 16)
_look_up_64 = twice(_look_up_32, 32)
_look_up_128 = twice(_look_up_64, 64)
_look_up_256 = twice(_look_up_128, 128)


@inline
def look_up(table, first, size, index):
    """The numbers at ``index`` modulo ``size``, which is 16, 32, 64, 128 or 256, from ``first`` on."""
    if size == 16:
        return look_up_16(table, first, index)
    if size == 32:
        return _look_up_32(table, first, index)
    if size == 64:
        return _look_up_64(table, first, index)
    if size == 128:
        return _look_up_128(table, first, index)
    return _look_up_256(table, first, index)
