"""Reading and writing vectors, headers and codes on a GPU.

A program holds the coordinates of some buckets as (8, rows, 2^log) registers: eighths of a bucket, buckets,
coordinates of an eighth. So one warp has one bucket of 1024, all eighths of a coordinate lie in one thread,
where planes of codes are packed, and memory is read in long rows.

``aligned`` promises that every four elements begin at a multiple of their size. Then all tensors are spread over
threads in fours, whatever their dtype, and nothing moves between threads. The promise must stand beside the sum.
"""

import triton
import triton.language as tl


@triton.jit
def addresses(tensor, index, aligned: tl.constexpr):
    """Pointers to the elements of these numbers."""
    at = tensor + index
    if aligned:
        at = tl.multiple_of(at, (1, 1, 4 * (tensor.dtype.element_ty.primitive_bitwidth // 8)))
    return at


@triton.jit
def read(vector, index, mask, aligned: tl.constexpr):
    """float32 of float32, float16, or bfloat16 as int16."""
    raw = tl.load(addresses(vector, index, aligned), mask=mask, other=0)
    if raw.dtype == tl.int16:
        values = (raw.to(tl.uint16, bitcast=True).to(tl.uint32) << 16).to(tl.float32, bitcast=True)
    else:
        values = raw.to(tl.float32)
    return values


@triton.jit
def write(vector, index, values, mask, aligned: tl.constexpr):
    """float32 to float32, float16, or bfloat16 as int16; to the nearest, ties to even."""
    at = addresses(vector, index, aligned)
    if vector.dtype.element_ty == tl.int16:
        bits = values.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        tl.store(at, tl.where(values == values, rounded, 0x7FC0).to(tl.int16), mask=mask)
    else:
        tl.store(at, values.to(vector.dtype.element_ty), mask=mask)


@triton.jit
def read_word(pointers, mask, rows: tl.constexpr):
    """The float32 at every pointer to bytes, wherever it begins; pointers and result are (1, rows, 1)."""
    byte = tl.arange(0, 4)[None, :]
    at, there = tl.reshape(pointers, (rows, 1)) + byte, tl.reshape(mask, (rows, 1))
    words = tl.sum(tl.load(at, mask=there, other=0).to(tl.uint32) << (8 * byte).to(tl.uint32), 1)
    return tl.reshape(words, (1, rows, 1)).to(tl.float32, bitcast=True)


@triton.jit
def write_word(pointers, values, mask, rows: tl.constexpr):
    """The inverse of ``read_word``."""
    byte = tl.arange(0, 4)[None, :]
    at, there = tl.reshape(pointers, (rows, 1)) + byte, tl.reshape(mask, (rows, 1))
    words = tl.reshape(values.to(tl.uint32, bitcast=True), (rows, 1))
    tl.store(at, (words >> (8 * byte).to(tl.uint32)).to(tl.uint8), mask=there)
