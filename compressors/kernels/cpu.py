"""The quantizers for CPU tensors: one pass over every bucket while it is in cache, by Numba.

Numba widens 32-bit integer arithmetic to 64 bits, hence the casts. Sums and products keep the
order of the reference; fast-math is off, so the bits are the same.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numba import njit, uint32, uint64
from torch import Tensor

from compressors.kernels.layout import Layout
from compressors.random import GOLDEN, derive

_jit = njit(cache=True, nogil=True, error_model="numpy")
_NORMS = {"l2": 0, "linf": 1, "range": 2, "l1": 3, "projection": 4}


def encode(vector: Tensor, layout: Layout, key: int) -> Tensor:
    payload = torch.empty(layout.payload_bytes(len(vector)), dtype=torch.uint8)
    split = layout.header_bytes(len(vector))
    _encode(
        vector.numpy(),
        payload[:split].view(torch.float32).view(-1, layout.header_floats).numpy(),
        payload[split:].numpy(),
        layout.bits,
        layout.bucket_size,
        layout.levels,
        layout.offset,
        _NORMS[layout.norm],
        _table(layout.points),
        np.uint64(key),
    )
    return payload


def decode(payload: Tensor, layout: Layout, numel: int, key: int = 0) -> Tensor:
    vector = torch.empty(numel, dtype=torch.float32)
    split = layout.header_bytes(numel)
    header = payload[:split].clone().view(torch.float32).view(-1, layout.header_floats)
    _decode(
        header.numpy(),
        payload[split:].numpy(),
        layout.bits,
        layout.bucket_size,
        np.float32(layout.offset),
        _table(layout.points),
        layout.dithered,
        np.uint64(key),
        vector.numpy(),
    )
    return vector


def unpack(packed: Tensor, layout: Layout, numel: int) -> Tensor:
    codes = torch.empty(numel, dtype=torch.uint8)
    _unpack_all(packed.numpy(), layout.bits, layout.bucket_size, codes.numpy())
    return codes


def pack(codes: Tensor, layout: Layout) -> Tensor:
    packed = torch.empty(layout.payload_bytes(len(codes)) - layout.header_bytes(len(codes)), dtype=torch.uint8)
    _pack_all(codes.numpy(), layout.bits, layout.bucket_size, packed.numpy())
    return packed


def rotate(rows: Tensor, key: int, first: int = 0) -> Tensor:
    exponents = torch.empty(len(rows), dtype=torch.int32)
    _rotate(rows.numpy(), np.uint64(derive(key, 1)), np.uint64(derive(key, 2)), first, exponents.numpy())
    return exponents


def unrotate(rows: Tensor, key: int, first: int = 0) -> None:
    _unrotate(rows.numpy(), np.uint64(derive(key, 1)), np.uint64(derive(key, 2)), first)


@lru_cache(maxsize=64)
def _table(points: tuple[float, ...]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.array(points, dtype=np.float32)


@_jit
def _encode(vector, header, packed, bits, bucket_size, levels, offset, norm, points, key):  # type: ignore[no-untyped-def]
    width = min(bucket_size, len(vector))
    codes = np.zeros(-(-width // 8) * 8, np.uint8)
    scratch = np.empty(2 * width, np.float64)
    thresholds = (points[1:] + points[:-1]) / np.float32(2)
    start = 0
    for index in range(len(header)):
        bucket = vector[index * bucket_size : (index + 1) * bucket_size]
        n = len(bucket)
        padded = -(-n // 8) * 8

        if norm == 4:
            unit = _project(bucket, points, thresholds, scratch, codes)
            low = np.float32(0)
        else:
            low, span = _span(bucket, norm, scratch)
            if norm != 2 and not len(points):
                span = 2 * span
            unit = _round_up(span if len(points) else span / levels)
        if np.isfinite(unit) and _all_finite(bucket):
            header[index, 0] = unit
            if norm != 4:
                random = _bucket_key(key, index)
                if len(points):
                    _round_to_points(bucket, unit, points, random, codes)
                else:
                    _round_to_grid(bucket, low, unit, levels, offset, random, codes)
        else:
            header[index, 0] = low = np.float32(np.nan)
            codes[:n] = 0
        if norm == 2:
            header[index, 1] = low

        codes[n:padded] = 0
        stop = start + bits * (padded // 8)
        _pack(codes[:padded], bits, packed[start:stop])
        start = stop


@_jit
def _span(bucket, norm, scratch):  # type: ignore[no-untyped-def]
    """The least value of a grid (0 if symmetric), and its span or, if symmetric, the norm, in float64."""
    if norm == 2:
        low, high = _ordered_min_max(bucket)
        least = _ordered_float(low) + np.float32(0)
        return least, np.float64(_ordered_float(high)) - np.float64(least)
    if norm == 1:
        return np.float32(0), np.float64(_ordered_float(_max_magnitude(bucket)))
    for i in range(len(bucket)):
        magnitude = np.abs(np.float64(bucket[i]))
        scratch[i] = magnitude if norm == 3 else magnitude * magnitude
    total = _fold(scratch, len(bucket))
    return np.float32(0), total if norm == 3 else np.sqrt(total)


@_jit
def _max_magnitude(bucket):  # type: ignore[no-untyped-def]
    """Bits of the largest magnitude; integers compare like positive floats, NaN above all."""
    words = bucket.view(np.int32)
    most = np.int32(0)
    for i in range(len(words)):
        most = max(most, np.int32(words[i] & np.int32(0x7FFFFFFF)))
    return most


@_jit
def _all_finite(bucket):  # type: ignore[no-untyped-def]
    return _max_magnitude(bucket) < np.int32(0x7F800000)


@_jit
def _ordered_min_max(bucket):  # type: ignore[no-untyped-def]
    """Least and greatest as integers ordered like the floats: these reductions vectorise."""
    words = bucket.view(np.int32)
    low, high = np.int32(0x7FFFFFFF), np.int32(-0x80000000)
    for i in range(len(words)):
        word = np.int32(words[i] ^ np.int32((words[i] >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        low = min(low, word)
        high = max(high, word)
    return low, high


@_jit
def _ordered_float(word):  # type: ignore[no-untyped-def]
    bits = np.array([word ^ ((word >> np.int32(31)) & np.int32(0x7FFFFFFF))], np.int32)
    return bits.view(np.float32)[0]


@_jit
def _fold(values, n):  # type: ignore[no-untyped-def]
    """The sum of the first n values, folding halves as the reference does; overwrites them."""
    half = 1
    while half < n:
        half *= 2
    for i in range(n, half):
        values[i] = 0.0
    while half > 1:
        half //= 2
        for i in range(half):
            values[i] += values[i + half]
    return values[0]


@_jit
def _round_up(x):  # type: ignore[no-untyped-def]
    """The least float32 that is not below x."""
    rounded = np.float32(x)
    return np.nextafter(rounded, np.float32(np.inf)) if np.float64(rounded) < x else rounded


@_jit
def _bucket_key(key, index):  # type: ignore[no-untyped-def]
    """SplitMix64 of the bucket's place in the stream."""
    x = key + uint64(GOLDEN) * uint64(index + 1)
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@_jit
def _chance(place, k1, k2):  # type: ignore[no-untyped-def]
    """The uniform number in [0, 1) of a place in a bucket: lowbias32."""
    x = uint32(uint32(place) + k1)
    x = uint32(uint32(x ^ uint32(x >> uint32(16))) * uint32(0x21F0AAAD))
    x = uint32(x ^ k2)
    x = uint32(uint32(x ^ uint32(x >> uint32(15))) * uint32(0xD35A2D97))
    x = uint32(x ^ uint32(x >> uint32(15)))
    return np.float32(np.int32(x >> uint32(8))) * np.float32(2.0**-24)


@_jit
def _halves(key):  # type: ignore[no-untyped-def]
    return uint32(key & uint64(0xFFFFFFFF)), uint32(key >> uint64(32))


@_jit
def _boosted_inverse(unit):  # type: ignore[no-untyped-def]
    boost = np.float32(1)
    if 0 < unit < np.float32(2.0**-100):
        boost = np.float32(2.0**64)
    elif unit > np.float32(2.0**100):
        boost = np.float32(2.0**-64)
    return boost, np.float32(1) / (unit * boost) if unit > 0 else np.float32(0)


@_jit
def _round_to_grid(bucket, low, unit, levels, offset, key, codes):  # type: ignore[no-untyped-def]
    k1, k2 = _halves(key)
    boost, inverse = _boosted_inverse(unit)
    origin = low * boost
    whole = np.floor(offset)
    rest, shift, most = np.float32(offset - whole), np.int32(whole), np.int32(levels)
    for i in range(len(bucket)):
        t = (bucket[i] * boost - origin) * inverse + rest
        floor = np.floor(t)
        code = np.int32(np.int32(floor) + np.int32(_chance(i, k1, k2) < t - floor) + shift)
        codes[i] = np.uint8(min(max(code, np.int32(0)), most))


@_jit
def _round_to_points(bucket, scale, points, key, codes):  # type: ignore[no-untyped-def]
    k1, k2 = _halves(key)
    boost, inverse = _boosted_inverse(scale)
    top = len(points) - 2
    for i in range(len(bucket)):
        t = bucket[i] * boost * inverse
        lower = 0
        step = 128
        while step:
            if lower + step <= top and points[lower + step] <= t:
                lower += step
            step >>= 1
        gap = points[lower + 1] - points[lower]
        codes[i] = np.uint8(lower + np.int32(_chance(i, k1, k2) * gap < t - points[lower]))


@_jit
def _project(bucket, points, thresholds, scratch, codes):  # type: ignore[no-untyped-def]
    """Codes of the nearest points, and the scale that keeps the inner product."""
    n = len(bucket)
    for i in range(n):
        scratch[i] = np.float64(bucket[i]) * np.float64(bucket[i])
    norm = np.sqrt(_fold(scratch, n))
    factor = np.float32(np.sqrt(np.float64(n)) / norm) if norm > 0 else np.float32(0)
    for i in range(n):
        t = bucket[i] * factor
        code = 0
        step = 128
        while step:
            if code + step <= len(thresholds) and thresholds[code + step - 1] <= t:
                code += step
            step >>= 1
        codes[i] = np.uint8(code)
        scratch[i] = np.float64(bucket[i]) * np.float64(points[code])
    inner = _fold(scratch, n)
    return np.float32(norm * norm / inner) if norm > 0 else np.float32(0)


@_jit
def _pack(codes, bits, packed):  # type: ignore[no-untyped-def]
    shift, start = np.uint8(0), 0
    for width in (8, 4, 2, 1):
        if bits & width:
            mask = np.uint8((1 << width) - 1)
            m = len(codes) * width // 8
            for i in range(m):
                packed[start + i] = np.uint8(codes[i] >> shift) & mask
            for lane in range(1, 8 // width):
                up = np.uint8(lane * width)
                for i in range(m):
                    packed[start + i] |= np.uint8((np.uint8(codes[lane * m + i] >> shift) & mask) << up)
            start += m
            shift = np.uint8(shift + width)


@_jit
def _unpack(packed, bits, codes):  # type: ignore[no-untyped-def]
    shift, start = np.uint8(0), 0
    codes[:] = 0
    for width in (8, 4, 2, 1):
        if bits & width:
            mask = np.uint8((1 << width) - 1)
            m = len(codes) * width // 8
            for lane in range(8 // width):
                down = np.uint8(lane * width)
                for i in range(m):
                    codes[lane * m + i] |= np.uint8((np.uint8(packed[start + i] >> down) & mask) << shift)
            start += m
            shift = np.uint8(shift + width)


@_jit
def _pack_all(codes, bits, bucket_size, packed):  # type: ignore[no-untyped-def]
    start, block = 0, np.zeros(-(-min(bucket_size, len(codes)) // 8) * 8, np.uint8)
    for first in range(0, len(codes), bucket_size):
        bucket = codes[first : first + bucket_size]
        padded = -(-len(bucket) // 8) * 8
        block[: len(bucket)] = bucket
        block[len(bucket) : padded] = 0
        stop = start + bits * (padded // 8)
        _pack(block[:padded], bits, packed[start:stop])
        start = stop


@_jit
def _unpack_all(packed, bits, bucket_size, codes):  # type: ignore[no-untyped-def]
    start, block = 0, np.empty(-(-min(bucket_size, len(codes)) // 8) * 8, np.uint8)
    for first in range(0, len(codes), bucket_size):
        bucket = codes[first : first + bucket_size]
        padded = -(-len(bucket) // 8) * 8
        stop = start + bits * (padded // 8)
        _unpack(packed[start:stop], bits, block[:padded])
        bucket[:] = block[: len(bucket)]
        start = stop


@_jit
def _decode(header, packed, bits, bucket_size, offset, points, dithered, key, vector):  # type: ignore[no-untyped-def]
    codes = np.empty(-(-min(bucket_size, len(vector)) // 8) * 8, np.uint8)
    start = 0
    for index in range(len(header)):
        bucket = vector[index * bucket_size : (index + 1) * bucket_size]
        padded = -(-len(bucket) // 8) * 8
        stop = start + bits * (padded // 8)
        _unpack(packed[start:stop], bits, codes[:padded])
        start = stop

        unit = header[index, 0]
        if len(points):
            for i in range(len(bucket)):
                bucket[i] = points[min(np.int64(codes[i]), len(points) - 1)] * unit
        elif dithered:
            k1, k2 = _halves(_bucket_key(key, index))
            for i in range(len(bucket)):
                value = np.float32(np.int32(codes[i])) - offset + (_chance(i, k1, k2) - np.float32(0.5))
                bucket[i] = value * unit
        else:
            low = header[index, 1] if header.shape[1] == 2 else np.float32(0)
            for i in range(len(bucket)):
                bucket[i] = (np.float32(np.int32(codes[i])) - offset) * unit + low


@_jit
def _rotate(rows, key1, key2, first, exponents):  # type: ignore[no-untyped-def]
    for index in range(len(rows)):
        row = rows[index]
        most = np.float64(_ordered_float(_max_magnitude(row)))
        exponents[index] = math.frexp(most)[1] if 0 < most < np.inf else 0
        scale = math.ldexp(1.0, -exponents[index])
        for i in range(len(row)):
            row[i] = np.float32(np.float64(row[i]) * scale)
        _flip_signs(row, _bucket_key(key1, first + index))
        _hadamard(row)
        _flip_signs(row, _bucket_key(key2, first + index))
        _hadamard(row)


@_jit
def _unrotate(rows, key1, key2, first):  # type: ignore[no-untyped-def]
    for index in range(len(rows)):
        row = rows[index]
        _hadamard(row)
        _flip_signs(row, _bucket_key(key2, first + index))
        _hadamard(row)
        _flip_signs(row, _bucket_key(key1, first + index))


@_jit
def _flip_signs(row, key):  # type: ignore[no-untyped-def]
    k1, k2 = _halves(key)
    for i in range(len(row)):
        row[i] *= np.float32(-1) if _chance(i, k1, k2) < np.float32(0.5) else np.float32(1)


@_jit
def _hadamard(row):  # type: ignore[no-untyped-def]
    half = 1
    while half < len(row):
        for start in range(0, len(row), 2 * half):
            upper, lower = row[start : start + half], row[start + half : start + 2 * half]
            for i in range(half):
                a, b = upper[i], lower[i]
                upper[i] = a + b
                lower[i] = a - b
        half *= 2
