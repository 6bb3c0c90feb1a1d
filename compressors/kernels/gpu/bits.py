"""Bit planes of codes: see ``layout``."""

import triton
import triton.language as tl


@triton.jit
def read_codes(pointers, mask, bits, eighth, log: tl.constexpr, aligned: tl.constexpr):
    """Codes of buckets whose packed bytes begin at ``pointers``, (1, rows, 1); ``eighth`` coordinates in an eighth."""
    codes = tl.zeros((8, mask.shape[1], 1 << log), tl.int32)
    for byte in range(bits // 8):
        codes |= read_plane(pointers, mask, 8 * byte, eighth, 8, log, aligned)
    for step in tl.static_range(3):
        if bits & (4 >> step):
            codes |= read_plane(pointers, mask, bits & -(8 >> step), eighth, 4 >> step, log, aligned)
    return codes


@triton.jit
def read_plane(pointers, mask, shift, eighth, width: tl.constexpr, log: tl.constexpr, aligned: tl.constexpr):
    """``shift`` is the number of bits of all planes before this one."""
    part = tl.arange(0, 8)[:, None, None]
    place = tl.arange(0, 1 << log)[None, None, :]
    at = pointers + (eighth * (shift + part % width) + place)
    if aligned:
        at = tl.multiple_of(at, (1, 1, 4))
    byte = tl.load(at, mask=mask, other=0).to(tl.int32)
    return ((byte >> (part // width * width)) & ((1 << width) - 1)) << shift


@triton.jit
def write_codes(pointers, codes, there, bits, eighth, log: tl.constexpr, even: tl.constexpr, aligned: tl.constexpr):
    """The inverse of ``read_codes``; ``there`` says which buckets are, and codes outside of them are 0."""
    place = tl.arange(0, 1 << log)[None, None, :]
    mask = there & (place >= 0) if even else there & (place < eighth)
    for byte in range(bits // 8):
        write_plane(pointers, codes, mask, 8 * byte, eighth, 8, log, aligned)
    for step in tl.static_range(3):
        if bits & (4 >> step):
            write_plane(pointers, codes, mask, bits & -(8 >> step), eighth, 4 >> step, log, aligned)


@triton.jit
def write_plane(pointers, codes, mask, shift, eighth, width: tl.constexpr, log: tl.constexpr, aligned: tl.constexpr):
    lanes = (codes >> shift) & ((1 << width) - 1)
    lanes = tl.reshape(lanes, (8 // width, width, codes.shape[1], 1 << log))
    lane = tl.arange(0, 8 // width)[:, None, None, None]
    byte = tl.sum(lanes << (width * lane), 0).to(tl.uint8)
    row = tl.arange(0, width)[:, None, None]
    place = tl.arange(0, 1 << log)[None, None, :]
    at = pointers + (eighth * (shift + row) + place)
    if aligned:
        at = tl.multiple_of(at, (1, 1, 4))
    tl.store(at, byte, mask=mask)
