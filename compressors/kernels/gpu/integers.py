"""Integers on the wire, for CUDA tensors: ``compressors.kernels.integers`` defines every bit.

Facts about a vector are gathered on the device, in any order, and fetched once.
"""

import torch
import triton.language as tl
from torch import Tensor

from compressors.kernels.gpu.bits import read_codes, write_codes
from compressors.kernels.gpu.launch import draw, parts, readable
from compressors.kernels.gpu.memory import addresses, read
from compressors.kernels.gpu.norms import INFINITE, magnitude_bits, most
from compressors.kernels.gpu.programs import NAN, buckets, deliver, pack, places, program, within
from compressors.kernels.gpu.random import chances, number
from compressors.kernels.gpu.rounding import floor, is_odd
from compressors.kernels.integers import BLOCK, Rounded
from compressors.kernels.strata import Strata


def encode_integers(
    vector: Tensor, scale: float, bits: int, most: int, key: int | None, packed: Tensor, strata: Strata | None = None
) -> Rounded:
    facts = torch.zeros(2, dtype=torch.int64, device=vector.device)
    for part in parts(len(vector), len(vector), BLOCK):
        part.launch(
            encode,
            *(readable(vector), packed, facts, scale, most, *draw(key or 0, strata)),
            bits=bits,
            nearest=key is None,
            together=strata is not None,
        )
    return Rounded(*facts.tolist())


def add_integers(packed: Tensor, bits: int, most: int, sums: Tensor) -> bool:
    spoilt = torch.zeros(1, dtype=torch.int32, device=sums.device)
    for part in parts(len(sums), len(sums), BLOCK):
        part.launch(add, packed, sums, spoilt, most, bits=bits)
    return not bool(spoilt)


def pack_integers(integers: Tensor, bits: int, offset: int, packed: Tensor) -> None:
    for part in parts(len(integers), len(integers), BLOCK):
        part.launch(pack, integers, packed, offset, bits=bits)


def decode_integers(packed: Tensor, bits: int, offset: int, factor: float, vector: Tensor, add: bool = False) -> None:
    for part in parts(len(vector), len(vector), BLOCK):
        part.launch(decode, packed, readable(vector), offset, factor, bits=bits, add=add)


@program
def encode(
    vector,
    packed,
    facts,
    scale,
    offset,
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
    nearest: tl.constexpr,
    together: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    """``facts``: the largest magnitude and the number of coordinates beyond ``offset``, of finite blocks."""
    bucket = buckets(first, rows)
    place, inside = places(eighth, log), within(eighth, length, log, even)
    index = bucket * bucket_size + place
    x = read(vector, index, inside & (index < stop), aligned)
    scaled = x * scale
    below = floor(scaled)
    rest = scaled - below
    if nearest:
        up = (rest > 0.5) | ((rest == 0.5) & is_odd(below))
    else:
        up = chances(number(key), shared, rank, ranks, part, bucket, place, together) < rest
    finite = most(magnitude_bits(x)) < INFINITE
    integers = tl.where(finite, below + up.to(tl.float32), 0.0)
    limit = tl.full((), offset, tl.float32)
    clipped = tl.sum((tl.abs(integers) > limit).to(tl.int32))
    integers = tl.minimum(tl.maximum(integers, -limit), limit).to(tl.int32)
    tl.atomic_max(facts, tl.max(tl.abs(integers)).to(tl.int64), sem="relaxed")
    tl.atomic_add(facts + 1, clipped.to(tl.int64), mask=clipped > 0, sem="relaxed")
    codes = tl.where(inside, tl.where(finite, integers + offset, 2 * offset + 1), 0)
    write_codes(packed + bucket * (bits * spacing), codes, bucket < end, bits, eighth, log, even, aligned)


@program
def add(
    packed,
    sums,
    spoilt,
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
    """``spoilt`` becomes 1 if the first coordinate of a block is no number."""
    bucket, place = buckets(first, rows), places(eighth, log)
    index = bucket * bucket_size + place
    inside = within(eighth, length, log, even) & (index < stop)
    codes = read_codes(packed + bucket * (bits * spacing), inside & (bucket < end), bits, eighth, log, aligned)
    at = addresses(sums, index, aligned)
    tl.store(at, tl.load(at, mask=inside, other=0) + (codes - offset), mask=inside)
    strange = (codes == 2 * offset + 1) & inside & (place == 0)
    tl.store(spoilt, 1, mask=tl.max(strange.to(tl.int32)) > 0)


@program
def decode(
    packed,
    vector,
    offset,
    factor,
    first,
    end,
    stop,
    bucket_size,
    length,
    eighth,
    spacing,
    bits: tl.constexpr,
    add: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    bucket = buckets(first, rows)
    index = bucket * bucket_size + places(eighth, log)
    inside = within(eighth, length, log, even) & (index < stop)
    codes = read_codes(packed + bucket * (bits * spacing), inside & (bucket < end), bits, eighth, log, aligned)
    values = tl.where(codes == 2 * offset + 1, NAN, (codes - offset).to(tl.float32) * factor)
    deliver(vector, index, values, inside, add, aligned)
