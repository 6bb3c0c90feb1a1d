"""Looking up sixteen numbers at once in tables of up to 256."""

from llvmlite import ir
from numba import uint32
from numba.core import cgutils
from numba.extending import intrinsic

from compressors.kernels.cpu.lanes import WIDE, choose, fill, inline, load, permute, pick


@inline
def look_up_16(table, first, index):
    """The numbers of a table at ``first`` plus index modulo 16."""
    return permute(load(table, first), index)


@inline
def _at_once(table, first, index):
    return _permute_both(load(table, first), load(table, first + 16), index)


@intrinsic
def _permute_both(typing_context, lower, upper, index):
    """``permute`` for a table of 32, with AVX-512."""

    def emit(context, builder, sig, args):
        lower, upper, index = args
        function_type = ir.FunctionType(lower.type, [lower.type, index.type, upper.type])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512.vpermi2var.ps.512")
        return builder.call(function, [lower, index, upper])

    return lower(lower, upper, index), emit


def _twice(half, size):
    """From the look-up in tables of ``size`` numbers, that in tables of twice as many."""

    @inline
    def look_up(table, first, index):
        upper = fill(uint32(0)) < (index & fill(uint32(size)))
        return choose(upper, half(table, first + size, index), half(table, first, index))

    return look_up


def _picked(size):
    """The look-up that reads the numbers one by one."""

    @inline
    def look_up(table, first, index):
        return pick(table, fill(uint32(first)) + (index & fill(uint32(size - 1))))

    return look_up


look_up_32 = _at_once if WIDE else _twice(look_up_16, 16)
look_up_64 = _twice(look_up_32, 32) if WIDE else _picked(64)
look_up_128 = _twice(look_up_64, 64) if WIDE else _picked(128)
_look_up_256 = _twice(look_up_128, 128) if WIDE else _picked(256)


@inline
def look_up(table, first, size, index):
    """The numbers at ``index`` modulo ``size``, which is 16, 32, 64, 128 or 256, from ``first`` on."""
    if size == 16:
        return look_up_16(table, first, index)
    if size == 32:
        return look_up_32(table, first, index)
    if size == 64:
        return look_up_64(table, first, index)
    if size == 128:
        return look_up_128(table, first, index)
    return _look_up_256(table, first, index)
