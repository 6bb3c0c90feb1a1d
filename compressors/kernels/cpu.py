"""The quantizers for CPU tensors: one pass over every bucket while it is in cache, by Numba.

Numba widens 32-bit integer arithmetic to 64 bits, hence the casts. Sums and products keep the
order of the reference; fast-math is off, so the bits are the same.
"""

import numpy as np
import torch
from numba import njit, uint32, uint64
from torch import Tensor

from compressors.kernels.layout import Layout
from compressors.random import GOLDEN

_jit = njit(cache=True, nogil=True, error_model="numpy")
_NORMS = {"l2": 0, "linf": 1, "range": 2}


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
        np.uint64(key),
    )
    return payload


def decode(payload: Tensor, layout: Layout, numel: int) -> Tensor:
    vector = torch.empty(numel, dtype=torch.float32)
    split = layout.header_bytes(numel)
    header = payload[:split].clone().view(torch.float32).view(-1, layout.header_floats)
    _decode(header.numpy(), payload[split:].numpy(), layout.bits, layout.bucket_size, layout.offset, vector.numpy())
    return vector


@_jit
def _encode(vector, header, packed, bits, bucket_size, levels, offset, norm, key):  # type: ignore[no-untyped-def]
    width = min(bucket_size, len(vector))
    codes = np.zeros(-(-width // 8) * 8, np.uint8)
    scratch = np.empty(2 * width, np.float64)
    start = 0
    for index in range(len(header)):
        bucket = vector[index * bucket_size : (index + 1) * bucket_size]
        n = len(bucket)
        padded = -(-n // 8) * 8

        low, span = _grid(bucket, norm, scratch)
        unit = _round_up(span / levels)
        if np.isfinite(unit) and _all_finite(bucket):
            header[index, 0] = unit
            _quantize(bucket, low, unit, levels, offset, _bucket_key(key, index), codes)
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
def _grid(bucket, norm, scratch):  # type: ignore[no-untyped-def]
    """The least value of the grid (0 if symmetric) and, in float64, its span."""
    if norm == 0:
        return np.float32(0), 2 * _l2_norm(bucket, scratch)
    if norm == 1:
        return np.float32(0), 2 * np.float64(_ordered_float(_max_magnitude(bucket)))
    low, high = _ordered_min_max(bucket)
    least = _ordered_float(low) + np.float32(0)
    return least, np.float64(_ordered_float(high)) - np.float64(least)


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
def _l2_norm(bucket, scratch):  # type: ignore[no-untyped-def]
    """The norm in float64, folding halves as the reference does."""
    n = len(bucket)
    half = 1
    while 2 * half < n:
        half *= 2
    if n == 1:
        return np.abs(np.float64(bucket[0]))
    for i in range(n - half):
        scratch[i] = np.float64(bucket[i]) ** 2 + np.float64(bucket[i + half]) ** 2
    for i in range(n - half, half):
        scratch[i] = np.float64(bucket[i]) ** 2
    while half > 1:
        half //= 2
        for i in range(half):
            scratch[i] += scratch[i + half]
    return np.sqrt(scratch[0])


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
def _quantize(bucket, low, unit, levels, offset, key, codes):  # type: ignore[no-untyped-def]
    k1, k2 = uint32(key & uint64(0xFFFFFFFF)), uint32(key >> uint64(32))
    boost = np.float32(1)
    if 0 < unit < np.float32(2.0**-100):
        boost = np.float32(2.0**64)
    elif unit > np.float32(2.0**100):
        boost = np.float32(2.0**-64)
    inverse = np.float32(1) / (unit * boost) if unit > 0 else np.float32(0)
    origin = low * boost
    shift, most = np.int32(offset), np.int32(levels)
    for i in range(len(bucket)):
        x = uint32(uint32(i) + k1)
        x = uint32(uint32(x ^ uint32(x >> uint32(16))) * uint32(0x21F0AAAD))
        x = uint32(x ^ k2)
        x = uint32(uint32(x ^ uint32(x >> uint32(15))) * uint32(0xD35A2D97))
        x = uint32(x ^ uint32(x >> uint32(15)))
        chance = np.float32(np.int32(x >> uint32(8))) * np.float32(2.0**-24)

        t = (bucket[i] * boost - origin) * inverse
        floor = np.floor(t)
        code = np.int32(np.int32(floor) + np.int32(chance < t - floor) + shift)
        codes[i] = np.uint8(min(max(code, np.int32(0)), most))


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
def _decode(header, packed, bits, bucket_size, offset, vector):  # type: ignore[no-untyped-def]
    codes = np.empty(-(-min(bucket_size, len(vector)) // 8) * 8, np.uint8)
    start = 0
    for index in range(len(header)):
        bucket = vector[index * bucket_size : (index + 1) * bucket_size]
        padded = -(-len(bucket) // 8) * 8
        stop = start + bits * (padded // 8)
        _unpack(packed[start:stop], bits, codes[:padded])
        start = stop

        unit = header[index, 0]
        low = header[index, 1] if header.shape[1] == 2 else np.float32(0)
        shift = np.int32(offset)
        for i in range(len(bucket)):
            bucket[i] = np.float32(np.int32(codes[i]) - shift) * unit + low
