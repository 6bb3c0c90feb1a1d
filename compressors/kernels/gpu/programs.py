"""Programs for a GPU: one instance for every few buckets, one pass over memory."""

import triton
import triton.language as tl

from compressors.kernels.gpu.bits import read_codes, write_codes
from compressors.kernels.gpu.memory import addresses, read, read_word, write, write_word
from compressors.kernels.gpu.norms import INFINITE, extent, fold, magnitude_bits, most, norm
from compressors.kernels.gpu.random import chances, number
from compressors.kernels.gpu.rotation import power_of_two, rotate, rotate_back
from compressors.kernels.gpu.rounding import project, round_to_grid, round_to_points, round_up

NAN = tl.constexpr(float("nan"))

program = triton.jit(
    do_not_specialize=["key", "shared", "first", "end"],  # random, or different from call to call
    do_not_specialize_on_alignment=["vector", "headers", "packed", "body", "codes", "sums"],  # see ``memory``
)
"""Decorates what is launched."""


@triton.jit
def buckets(first, rows: tl.constexpr):
    """The numbers of this program's buckets, (1, rows, 1) int64."""
    return (first + tl.program_id(0) * rows + tl.arange(0, rows)[None, :, None]).to(tl.int64)


@triton.jit
def places(eighth, log: tl.constexpr):
    """Returns the place of every coordinate in its bucket: (8, 1, 2^log)."""
    return tl.arange(0, 8)[:, None, None] * eighth + tl.arange(0, 1 << log)[None, None, :]


@triton.jit
def within(eighth, length, log: tl.constexpr, even: tl.constexpr):
    """Returns a mask of the registers that hold a coordinate of a bucket: all, if its eighths are 2^log long."""
    place = places(eighth, log)
    return place >= 0 if even else (place < length) & (tl.arange(0, 1 << log)[None, None, :] < eighth)


@program
def encode(
    vector,
    headers,
    packed,
    table,
    key,
    shared,
    rank,
    ranks,
    part,
    first,
    end,
    stop,
    bucket_size,
    length,
    eighth,
    spacing,
    bits: tl.constexpr,
    levels: tl.constexpr,
    whole: tl.constexpr,
    rest: tl.constexpr,
    kind: tl.constexpr,
    points: tl.constexpr,
    rotated: tl.constexpr,
    together: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    """Buckets ``first`` to ``end`` of ``length`` coordinates each; those from ``stop`` on are zeros."""
    key = number(key)
    bucket = buckets(first, rows)
    place, inside = places(eighth, log), within(eighth, length, log, even)
    start = bucket * bucket_size
    x = read(vector, start + place, inside & (start + place < stop), aligned)
    flat = x
    if rotated:
        x, exponents = rotate(x, number(shared) if together else key, bucket, place, log)
        flat = x
    elif not even and (kind == "l1" or kind == "l2" or kind == "projection"):
        order = places(1 << log, log)
        flat = read(vector, start + order, (order < length) & (start + order < stop), aligned)

    low = tl.zeros((1, rows, 1), tl.float32)
    if kind == "projection":
        unit, codes = project(x, flat, table, bits, length, log, even)
    elif points:
        unit = round_up(norm(x, flat, kind, log))
        chance = chances(key, shared, rank, ranks, part, bucket, place, together)
        codes = round_to_points(x, unit, chance, table, bits)
    else:
        if kind == "range":
            low, span = extent(x, inside)
        else:
            span = 2 * norm(x, flat, kind, log)
        unit = round_up(span / levels)
        chance = chances(key, shared, rank, ranks, part, bucket, place, together)
        codes = round_to_grid(x, low, unit, chance, levels, whole, rest)

    finite = (most(magnitude_bits(x)) < INFINITE) & (magnitude_bits(unit) < INFINITE)
    if rotated:
        unit = (unit.to(tl.float64) * power_of_two(exponents)).to(tl.float32)
    there = bucket < end
    if kind == "range":
        at = headers + 8 * bucket
        write_word(at + 4, tl.where(finite, low, NAN), there, rows)
    else:
        at = headers + 4 * bucket
    write_word(at, tl.where(finite, unit, NAN), there, rows)
    codes = tl.where(finite & inside, codes, 0)
    write_codes(packed + bucket * (bits * spacing), codes, there, bits, eighth, log, even, aligned)


@program
def decode(
    headers,
    packed,
    table,
    vector,
    key,
    shared,
    rank,
    ranks,
    part,
    first,
    end,
    stop,
    bucket_size,
    length,
    eighth,
    spacing,
    bits: tl.constexpr,
    offset: tl.constexpr,
    ranged: tl.constexpr,
    points: tl.constexpr,
    dithered: tl.constexpr,
    rotated: tl.constexpr,
    together: tl.constexpr,
    add: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    key = number(key)
    bucket = buckets(first, rows)
    place, inside = places(eighth, log), within(eighth, length, log, even)
    there = bucket < end
    codes = read_codes(packed + bucket * (bits * spacing), there & inside, bits, eighth, log, aligned)
    values = tl.load(table + codes) if points else codes.to(tl.float32) - offset
    if dithered:
        values += chances(key, shared, rank, ranks, part, bucket, place, together) - 0.5
    if rotated:
        values = rotate_back(values, number(shared) if together else key, bucket, place, log)
    if ranged:
        at = headers + 8 * bucket
        values = values * read_word(at, there, rows) + read_word(at + 4, there, rows)
    else:
        values = values * read_word(headers + 4 * bucket, there, rows)
    index = bucket * bucket_size + place
    deliver(vector, index, values, inside & (index < stop), add, aligned)


@program
def encode_variable(
    vector,
    body,
    tables,
    widths,
    factors,
    headers_at,
    codes_at,
    key,
    stop,
    log: tl.constexpr,
    aligned: tl.constexpr,
):
    """One block of 8 * 2^log coordinates, of any width; offsets into the body are int64."""
    key = number(key)
    block = buckets(0, 1)
    bits = tl.load(widths + tl.program_id(0)).to(tl.int32)
    if (bits >= 1) & (bits <= 8):
        place = places(1 << log, log)
        index = block * (8 << log) + place
        x, exponents = rotate(read(vector, index, index < stop, aligned), key, block, place, log)
        scale, codes = project(x, x, tables + ((2 << bits) - 4), bits, tl.full((), 8 << log, tl.int32), log, True)
        finite = (most(magnitude_bits(x)) < INFINITE) & (magnitude_bits(scale) < INFINITE)
        factor = tl.load(factors + block) * power_of_two(exponents)
        scale = (scale.to(tl.float64) * factor).to(tl.float32)
        there = block >= 0
        write_word(body + tl.load(headers_at + block), tl.where(finite, scale, NAN), there, 1)
        codes = tl.where(finite, codes, 0)
        write_codes(body + tl.load(codes_at + block), codes, there, bits, 1 << log, log, True, aligned)


@program
def decode_variable(
    body,
    tables,
    widths,
    headers_at,
    codes_at,
    vector,
    key,
    stop,
    add: tl.constexpr,
    log: tl.constexpr,
    aligned: tl.constexpr,
):
    """The inverse of ``encode_variable``; a block that was not sent is zeros, or NaN if it could not be."""
    key = number(key)
    block = buckets(0, 1)
    place = places(1 << log, log)
    width, bits = tl.load(widths + block), tl.load(widths + tl.program_id(0)).to(tl.int32)
    bits = tl.where(bits <= 8, bits, 0)
    sent = (width >= 1) & (width <= 8)
    codes = read_codes(body + tl.load(codes_at + block), sent & (place >= 0), bits, 1 << log, log, aligned)
    values = tl.load(tables + (codes + ((2 << bits) - 4)), mask=sent & (place >= 0), other=0.0)
    scale = read_word(body + tl.load(headers_at + block), sent, 1)
    values = rotate_back(values, key, block, place, log) * tl.where(width > 8, NAN, scale)
    index = block * (8 << log) + place
    deliver(vector, index, values, index < stop, add, aligned)


@program
def energies(vector, sums, stop, log: tl.constexpr, aligned: tl.constexpr):
    """The sum of squares of one block of 8 * 2^log coordinates, float64."""
    block = buckets(0, 1)
    index = block * (8 << log) + places(1 << log, log)
    wide = read(vector, index, index < stop, aligned).to(tl.float64)
    tl.store(sums + block, fold(wide * wide, log))


@program
def pack(
    codes,
    packed,
    offset,
    first,
    end,
    stop,
    bucket_size,
    length,
    eighth,
    spacing,
    bits: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    """Codes are the sums of ``codes`` with the offset."""
    bucket = buckets(first, rows)
    index = bucket * bucket_size + places(eighth, log)
    inside = within(eighth, length, log, even) & (index < stop)
    x = tl.load(addresses(codes, index, aligned), mask=inside, other=0).to(tl.int32)
    x = tl.where(inside, x + offset, 0)
    write_codes(packed + bucket * (bits * spacing), x, bucket < end, bits, eighth, log, even, aligned)


@program
def unpack(
    packed,
    codes,
    first,
    end,
    stop,
    bucket_size,
    length,
    eighth,
    spacing,
    bits: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    bucket = buckets(first, rows)
    index = bucket * bucket_size + places(eighth, log)
    inside = within(eighth, length, log, even)
    x = read_codes(packed + bucket * (bits * spacing), inside & (bucket < end), bits, eighth, log, aligned)
    tl.store(addresses(codes, index, aligned), x.to(tl.uint8), mask=inside & (index < stop))


@triton.jit
def deliver(vector, index, values, mask, add: tl.constexpr, aligned: tl.constexpr):
    if add:
        values = read(vector, index, mask, aligned) + values
    write(vector, index, values, mask, aligned)
