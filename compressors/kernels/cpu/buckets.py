"""Every bucket of a vector, while it is in the nearest cache."""

import numpy as np

from compressors.kernels.cpu import bits
from compressors.kernels.cpu.lanes import WIDTH, borrow, inline, kernel
from compressors.kernels.cpu.plan import RANGE, Plan, Scratch
from compressors.kernels.cpu.rounding import quantize, restore
from compressors.kernels.cpu.rows import read, width, write


@kernel
def encode(floats, halves, brain, plan, draw, header, packed, scratch, first, last):
    """Writes headers and codes of the buckets from ``first`` to before ``last``."""
    floats, halves, header, packed = borrow(floats), borrow(halves), borrow(header), borrow(packed)
    plan, scratch = borrow_plan(plan), borrow_scratch(scratch)
    numel = len(floats) + len(halves)
    full = plan.bits * -(-plan.bucket_size // 8)
    for index in range(first, last):
        start = index * plan.bucket_size
        n = min(plan.bucket_size, numel - start)
        row, at = floats, start
        if len(halves) or n != width(n):
            read(floats, halves, brain, start, n, plan.norm == RANGE, scratch.row)
            row, at = scratch.row, start - start
        unit, low = quantize(plan, row, at, n, draw, index, scratch)
        header[index, 0] = unit
        if plan.norm == RANGE:
            header[index, 1] = low
        bits.pack(plan.bits, scratch.codes, n, packed, full * index)


@kernel
def decode(header, packed, plan, draw, floats, halves, brain, add, scratch, first, last):
    """The inverse: writes the coordinates of these buckets, or adds them."""
    floats, halves, header, packed = borrow(floats), borrow(halves), borrow(header), borrow(packed)
    plan, scratch = borrow_plan(plan), borrow_scratch(scratch)
    numel = len(floats) + len(halves)
    full = plan.bits * -(-plan.bucket_size // 8)
    for index in range(first, last):
        start = index * plan.bucket_size
        n = min(plan.bucket_size, numel - start)
        bits.unpack(plan.bits, packed, full * index, n, scratch.codes)
        unit = header[index, 0]
        low = header[index, 1] if plan.norm == RANGE else unit
        direct = len(floats) > 0 and n % WIDTH == 0
        out, at = (floats, start) if direct else (scratch.row, start - start)
        restore(plan, scratch.codes, n, unit, low, draw, index, out, at, add and direct)
        if not direct:
            write(scratch.row, n, floats, halves, brain, start, add)


@inline
def borrow_plan(plan):
    return Plan(
        plan.bits,
        plan.bucket_size,
        plan.levels,
        plan.offset,
        plan.norm,
        plan.dithered,
        borrow(plan.points),
        borrow(plan.gaps),
        borrow(plan.tree),
    )


@inline
def borrow_scratch(scratch):
    return Scratch(borrow(scratch.row), borrow(scratch.codes), borrow(scratch.sums))


@kernel
def pack(codes, width, bucket_size, packed):
    """All codes of a vector to bytes, ``width`` bits each."""
    scratch = np.empty(min(bucket_size, len(codes)) + 8, np.uint8)
    full = width * -(-bucket_size // 8)
    for index in range(-(-len(codes) // bucket_size)):
        bucket = codes[index * bucket_size : (index + 1) * bucket_size]
        scratch[: len(bucket)] = bucket
        bits.pack(width, scratch, len(bucket), packed, full * index)


@kernel
def unpack(packed, width, bucket_size, codes):
    """The inverse of ``pack``."""
    scratch = np.empty(min(bucket_size, len(codes)) + 8, np.uint8)
    full = width * -(-bucket_size // 8)
    for index in range(-(-len(codes) // bucket_size)):
        bucket = codes[index * bucket_size : (index + 1) * bucket_size]
        bits.unpack(width, packed, full * index, len(bucket), scratch)
        bucket[:] = scratch[: len(bucket)]
