"""Signed powers of two on the wire, for CUDA tensors: ``compressors.kernels.natural`` defines every bit."""

import triton.language as tl
from torch import Tensor

from compressors.kernels.gpu.bits import read_codes, write_codes
from compressors.kernels.gpu.launch import draw, parts, readable
from compressors.kernels.gpu.memory import read
from compressors.kernels.gpu.norms import INFINITE, magnitude_bits
from compressors.kernels.gpu.programs import NAN, buckets, deliver, places, program, within
from compressors.kernels.gpu.random import chances, number
from compressors.kernels.natural import BLOCK, Window
from compressors.kernels.strata import Strata


def encode_natural(vector: Tensor, bits: int, key: int, packed: Tensor, strata: Strata | None = None) -> None:
    for part in parts(len(vector), len(vector), BLOCK):
        part.launch(
            encode,
            *(readable(vector), packed, *draw(key, strata)),
            bits=bits,
            scale=Window(bits).scale,
            marker=Window(bits).marker,
            together=strata is not None,
        )


def decode_natural(packed: Tensor, bits: int, vector: Tensor, add: bool = False) -> None:
    window = Window(bits)
    for part in parts(len(vector), len(vector), BLOCK):
        part.launch(
            decode, packed, readable(vector), bits=bits, inverse=1 / window.scale, marker=window.marker, add=add
        )


@program
def encode(
    vector,
    packed,
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
    scale: tl.constexpr,
    marker: tl.constexpr,
    together: tl.constexpr,
    rows: tl.constexpr,
    log: tl.constexpr,
    even: tl.constexpr,
    aligned: tl.constexpr,
):
    bucket = buckets(first, rows)
    place, inside = places(eighth, log), within(eighth, length, log, even)
    index = bucket * bucket_size + place
    x = read(vector, index, inside & (index < stop), aligned)
    sign = x.to(tl.uint32, bitcast=True) >> 31
    chance = chances(number(key), shared, rank, ranks, part, bucket, place, together)
    random = tl.minimum((chance * (1 << 23)).to(tl.int32), (1 << 23) - 1)
    if together:
        random = tl.where(sign == 1, random, (1 << 23) - 1 - random)
    exponents = tl.minimum((magnitude_bits(x * scale) + random) >> 23, marker - 1)
    exponents = tl.where(magnitude_bits(x) < INFINITE, exponents, marker)
    codes = tl.where(inside, exponents | (sign.to(tl.int32) << (bits - 1)), 0)
    write_codes(packed + bucket * (bits * spacing), codes, bucket < end, bits, eighth, log, even, aligned)


@program
def decode(
    packed,
    vector,
    first,
    end,
    stop,
    bucket_size,
    length,
    eighth,
    spacing,
    bits: tl.constexpr,
    inverse: tl.constexpr,
    marker: tl.constexpr,
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
    exponents = codes & marker
    powers = ((exponents << 23) | ((codes >> (bits - 1)) << 31)).to(tl.float32, bitcast=True) * inverse
    deliver(vector, index, tl.where(exponents == marker, NAN, powers), inside, add, aligned)
