"""The quantizers in plain torch: slow, short, and the definition of every bit."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressors.kernels.blocks import block_rows, padded
from compressors.kernels.common import chances, deliver, pack_rows, uniform, unpack_rows
from compressors.kernels.grouped import decode_grouped as decode_grouped
from compressors.kernels.grouped import encode_grouped as encode_grouped
from compressors.kernels.integers import add_integers as add_integers
from compressors.kernels.integers import decode_integers as decode_integers
from compressors.kernels.integers import encode_integers as encode_integers
from compressors.kernels.integers import pack_integers as pack_integers
from compressors.kernels.layout import Layout
from compressors.kernels.natural import decode_natural as decode_natural
from compressors.kernels.natural import encode_natural as encode_natural
from compressors.kernels.selection import largest as largest
from compressors.kernels.shuffling import shuffle as shuffle
from compressors.kernels.strata import Strata, basis_key
from compressors.random import derive

Array = NDArray[np.float64]


def encode(vector: Tensor, layout: Layout, key: int, payload: Tensor, strata: Strata | None = None) -> None:
    headers, codes = [], []
    for first, rows in _bucket_rows(vector.float(), layout):
        header, row_codes = _quantize(rows, layout, key, first, strata)
        headers.append(header.flatten().view(torch.uint8))
        codes.append(pack_rows(row_codes, layout.bits).flatten())
    if codes:
        payload.copy_(torch.cat([*headers, *codes]))


def decode(
    payload: Tensor, layout: Layout, vector: Tensor, key: int = 0, add: bool = False, strata: Strata | None = None
) -> None:
    header = _header(payload, layout, len(vector))
    values = vector.new_empty(len(vector), dtype=torch.float32)
    codes = unpack(payload[layout.header_bytes(len(vector)) :], layout, len(vector))
    for (first, rows), (_, row_codes) in zip(_bucket_rows(values, layout), _bucket_rows(codes, layout), strict=True):
        unit, *low = header[first : first + len(rows)].split(1, dim=1)
        rows.copy_(_values(row_codes.long(), layout, key, first, strata) * unit)
        if low:
            rows += low[0]
    deliver(values, vector, add)


def encode_rotated(vector: Tensor, layout: Layout, key: int, payload: Tensor, strata: Strata | None = None) -> None:
    numel = padded(len(vector), layout.bucket_size)
    blocks = torch.nn.functional.pad(vector.float(), (0, numel - len(vector)))
    parts = block_rows(blocks, layout.bucket_size)
    basis = basis_key(key, strata)
    exponents = [_rotate(rows, basis, first) for first, rows in parts]
    encode(blocks, layout, key, payload, strata)
    if exponents:
        _scale_header(payload, layout, numel, torch.exp2(torch.cat(exponents).double()))


def decode_rotated(
    payload: Tensor, layout: Layout, vector: Tensor, key: int, add: bool = False, strata: Strata | None = None
) -> None:
    blocks, scales = _decode_unscaled(payload, layout, padded(len(vector), layout.bucket_size), key, strata)
    basis = basis_key(key, strata)
    for first, rows in block_rows(blocks, layout.bucket_size):
        _rotate_back(rows, scales[first : first + len(rows)], basis, first)
    deliver(blocks[: len(vector)], vector, add)


def encode_variable(
    vector: Tensor, layouts: Sequence[Layout], widths: Tensor, factors: Tensor, key: int, body: Tensor
) -> None:
    rows = _rows(vector.float(), layouts[0].bucket_size)
    factors = factors * torch.exp2(_rotate(rows, key).double())
    stop = 0
    for layout in layouts:
        chosen = widths == layout.bits
        part = body[stop : stop + layout.payload_bytes(int(chosen.sum()) * layout.bucket_size)]
        encode(rows[chosen].flatten(), layout, key, part)
        _scale_header(part, layout, int(chosen.sum()) * layout.bucket_size, factors[chosen])
        stop += len(part)
    body[stop:] = 0


def decode_variable(
    body: Tensor, layouts: Sequence[Layout], widths: Tensor, vector: Tensor, key: int, add: bool = False
) -> None:
    rows = _rows(torch.zeros_like(vector, dtype=torch.float32), layouts[0].bucket_size)
    scales = torch.where(widths > layouts[-1].bits, torch.nan, 0.0)
    stop = 0
    for layout in layouts:
        chosen = widths == layout.bits
        count = int(chosen.sum()) * layout.bucket_size
        part = body[stop : stop + layout.payload_bytes(count)]
        values, scales[chosen] = _decode_unscaled(part, layout, count, key)
        rows[chosen] = values.view(-1, layout.bucket_size)
        stop += len(part)
    _rotate_back(rows, scales, key)
    deliver(rows.flatten()[: len(vector)], vector, add)


def energies(vector: Tensor, length: int) -> Tensor:
    return _fold(_rows(vector.float(), length).double().square()).squeeze(1)


def water_level(costs: Array, gains: Array, least: float, budget: float, low: float, high: float) -> float:
    def spent(level: float) -> float:
        chances = np.maximum(least, np.sqrt(costs * (gains[0] / level)))
        widths = (costs[:, None] * gains >= level).sum(axis=1)
        return float(np.where(chances < 1, chances, widths).sum())

    for _ in range(40):
        middle = (low + high) / 2
        total = spent(2.0**middle)
        if total <= budget - 1e-9 or total == budget:
            high = middle
        else:
            low = middle
    return 2.0**high  # type: ignore[no-any-return]


def unpack(packed: Tensor, layout: Layout, numel: int) -> Tensor:
    codes = packed.new_empty(numel, dtype=torch.uint8)
    start = 0
    for _, rows in _bucket_rows(codes, layout):
        stop = start + len(rows) * layout.code_bytes(rows.shape[1])
        rows.copy_(unpack_rows(packed[start:stop].view(len(rows), -1), layout.bits, rows.shape[1]))
        start = stop
    return codes


def pack(codes: Tensor, layout: Layout) -> Tensor:
    parts = [pack_rows(rows.long(), layout.bits).flatten() for _, rows in _bucket_rows(codes, layout)]
    return torch.cat(parts) if parts else codes.new_empty(0)


def _header(payload: Tensor, layout: Layout, numel: int) -> Tensor:
    """(buckets, header_floats) float32; a copy."""
    return payload[: layout.header_bytes(numel)].clone().view(torch.float32).view(-1, layout.header_floats)


def _scale_header(payload: Tensor, layout: Layout, numel: int, factors: Tensor) -> None:
    """Multiplies the scale of every bucket by a factor (float64), in place."""
    header = _header(payload, layout, numel).flatten()
    payload[: layout.header_bytes(numel)] = (header.double() * factors).float().view(torch.uint8)


def _decode_unscaled(
    payload: Tensor, layout: Layout, numel: int, key: int, strata: Strata | None = None
) -> tuple[Tensor, Tensor]:
    """The vector for scales of 1, which stays far from the ends of float32's range, and the scales."""
    scales = _header(payload, layout, numel).flatten()
    unscaled = torch.cat([torch.ones_like(scales).view(torch.uint8), payload[layout.header_bytes(numel) :]])
    values = payload.new_empty(numel, dtype=torch.float32)
    decode(unscaled, layout, values, key, strata=strata)
    return values, scales


def _rows(vector: Tensor, length: int) -> Tensor:
    """A copy as a matrix of blocks, the last filled with zeros."""
    return torch.nn.functional.pad(vector, (0, -len(vector) % length)).view(-1, length)


def _rotate(rows: Tensor, key: int, first: int = 0) -> Tensor:
    """In place: every row over two to its exponent (returned, int32), then twice through signs and Hadamard."""
    exponents = _exponents(rows)
    rows.copy_((rows.double() * torch.exp2(-exponents.double())).float())
    for turn in (1, 2):
        rows.mul_(_signs(rows, derive(key, turn), first))
        _hadamard(rows)
    return exponents.squeeze(1)


def _rotate_back(rows: Tensor, scales: Tensor, key: int, first: int = 0) -> None:
    """In place: from the rotated basis to the usual one, times the scale of every row."""
    for turn in (2, 1):
        _hadamard(rows)
        rows.mul_(_signs(rows, derive(key, turn), first))
    rows.mul_(rows.shape[1] ** -2).mul_(scales.unsqueeze(1))


def _bucket_rows(vector: Tensor, layout: Layout) -> list[tuple[int, Tensor]]:
    """The full buckets as one matrix, then the shorter last one: (index of first bucket, rows)."""
    full = len(vector) // layout.bucket_size
    body, tail = vector.split([full * layout.bucket_size, len(vector) - full * layout.bucket_size])
    parts = [(0, body.view(full, layout.bucket_size)), (full, tail.view(1, -1))]
    return [(first, rows) for first, rows in parts if rows.numel()]


def _quantize(rows: Tensor, layout: Layout, key: int, first: int, strata: Strata | None) -> tuple[Tensor, Tensor]:
    """Header (float32) and codes (int64) of a matrix of buckets; ``first`` is the first's index."""
    finite = (rows - rows == 0).all(dim=1, keepdim=True)
    if layout.norm == "projection":
        header, codes = _project(rows, layout)
    else:
        chance = chances(rows.shape, key, first, rows.device, strata)
        header, codes = (_round_to_points if layout.points else _round_to_grid)(rows, layout, chance)
    finite &= header[:, :1].isfinite()
    return torch.where(finite, header, torch.nan), torch.where(finite, codes, 0).long()


def _round_to_grid(rows: Tensor, layout: Layout, chance: Tensor) -> tuple[Tensor, Tensor]:
    if layout.norm == "range":
        low = rows.amin(dim=1, keepdim=True) + 0.0  # -0.0 becomes 0.0
        span = rows.amax(dim=1, keepdim=True).double() - low.double()
    else:
        low = torch.zeros_like(rows[:, :1])
        span = 2 * _norm(rows, layout.norm)
    unit = _round_up(span / torch.full_like(span, layout.levels))
    boost, inverse = _boosted_inverse(unit)
    whole = math.floor(layout.offset)
    t = (rows * boost - low * boost) * inverse + (layout.offset - whole)
    floor = t.floor()
    codes = (floor + (chance < t - floor) + whole).clamp(0, layout.levels)
    return torch.cat([unit, low], dim=1)[:, : layout.header_floats], codes


def _round_to_points(rows: Tensor, layout: Layout, chance: Tensor) -> tuple[Tensor, Tensor]:
    points = torch.tensor(layout.points, dtype=torch.float32, device=rows.device)
    scale = _round_up(_norm(rows, layout.norm))
    boost, inverse = _boosted_inverse(scale)
    t = rows * boost * inverse
    lower = (torch.searchsorted(points, t.contiguous(), right=True) - 1).clamp(0, layout.levels - 1)
    up = chance * (points[lower + 1] - points[lower]) < t - points[lower]
    return scale, lower + up


def _project(rows: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    points = torch.tensor(layout.points, dtype=torch.float32, device=rows.device)
    thresholds = (points[1:] + points[:-1]) / 2
    norm = _norm(rows, "l2")
    t = rows * torch.where(norm > 0, torch.full_like(norm, math.sqrt(rows.shape[1])) / norm, 0).float()
    codes = torch.searchsorted(thresholds, t.contiguous(), right=True)
    inner = _fold(rows.double() * points[codes].double())
    return torch.where(norm > 0, norm * norm / inner, 0).float(), codes


def _values(codes: Tensor, layout: Layout, key: int, first: int, strata: Strata | None) -> Tensor:
    """The values of a matrix of codes for a unit, or a scale, of 1."""
    if layout.points:
        return torch.tensor(layout.points, dtype=torch.float32, device=codes.device)[codes.clamp(max=layout.levels)]
    values = codes - layout.offset
    if layout.dithered:
        values = values + (chances(codes.shape, key, first, codes.device, strata) - 0.5)
    return values


def _norm(rows: Tensor, norm: str) -> Tensor:
    """Norm of every row in float64, (rows, 1)."""
    if norm == "linf":
        return rows.abs().amax(dim=1, keepdim=True).double()
    return _fold(rows.double().abs()) if norm == "l1" else _fold(rows.double().square()).sqrt()


def _fold(rows: Tensor) -> Tensor:
    """Sum of every row, (rows, 1), by folding halves: one order of additions everywhere."""
    width = 1 << (rows.shape[1] - 1).bit_length()
    rows = torch.nn.functional.pad(rows, (0, width - rows.shape[1]))
    while width > 1:
        width //= 2
        rows = rows[:, :width] + rows[:, width:]
    return rows


def _round_up(x: Tensor) -> Tensor:
    """The least float32 that is not below x, so that the values always reach the largest coordinate."""
    rounded = x.float()
    above = torch.nextafter(rounded, torch.full_like(rounded, torch.inf))
    return torch.where(rounded.double() < x, above, rounded)


def _boosted_inverse(unit: Tensor) -> tuple[Tensor, Tensor]:
    """A power of two that keeps 1 / unit and the differences within float32's range, and 1 / (unit * it)."""
    boost = torch.ones_like(unit)
    boost[(unit > 0) & (unit < 2.0**-100)] = 2.0**64
    boost[unit > 2.0**100] = 2.0**-64
    return boost, torch.where(unit > 0, 1 / (unit * boost), 0)


def _exponents(rows: Tensor) -> Tensor:
    """The exponent of the largest magnitude of every row, (rows, 1) int32; 0 for zeros and non-finite rows."""
    most = rows.abs().amax(dim=1, keepdim=True).double()
    exponents = torch.frexp(most).exponent
    return torch.where((most > 0) & most.isfinite(), exponents, 0).int()


def _signs(rows: Tensor, key: int, first: int) -> Tensor:
    """Random signs: minus where the position's random number is below one half."""
    return torch.where(uniform(rows.shape, key, first, rows.device) < 0.5, -1.0, 1.0)


def _hadamard(rows: Tensor) -> None:
    """Every row times the Hadamard matrix of its length (a power of two), not normalised, in place."""
    half = 1
    while half < rows.shape[1]:
        pairs = rows.view(len(rows), rows.shape[1] // (2 * half), 2, half)
        upper, lower = pairs[:, :, 0].clone(), pairs[:, :, 1]
        pairs[:, :, 0] = upper + lower
        pairs[:, :, 1] = upper - lower
        half *= 2
