"""The quantizers in plain torch: slow, short, and the definition of every bit."""

import torch
from torch import Tensor

from compressors.kernels.layout import Layout
from compressors.random import GOLDEN, mix64

MASK32 = 0xFFFFFFFF


def encode(vector: Tensor, layout: Layout, key: int) -> Tensor:
    headers, codes = [], []
    for first, rows in _bucket_rows(vector, layout):
        header, row_codes = _quantize(rows, layout, key, first)
        headers.append(header.flatten().view(torch.uint8))
        codes.append(_pack(row_codes, layout).flatten())
    return torch.cat([*headers, *codes]) if codes else vector.new_empty(0, dtype=torch.uint8)


def decode(payload: Tensor, layout: Layout, numel: int) -> Tensor:
    split = layout.header_bytes(numel)
    header = payload[:split].clone().view(torch.float32).view(-1, layout.header_floats)
    vector = payload.new_empty(numel, dtype=torch.float32)
    for first, rows in _bucket_rows(vector, layout):
        stop = split + len(rows) * layout.code_bytes(rows.shape[1])
        codes = _unpack(payload[split:stop].view(len(rows), -1), layout, rows.shape[1])
        unit, *low = header[first : first + len(rows)].split(1, dim=1)
        rows.copy_((codes - layout.offset) * unit)
        if low:
            rows += low[0]
        split = stop
    return vector


def _bucket_rows(vector: Tensor, layout: Layout) -> list[tuple[int, Tensor]]:
    """The full buckets as one matrix, then the shorter last one: (index of first bucket, rows)."""
    full = len(vector) // layout.bucket_size
    body, tail = vector.split([full * layout.bucket_size, len(vector) - full * layout.bucket_size])
    parts = [(0, body.view(full, layout.bucket_size)), (full, tail.view(1, -1))]
    return [(first, rows) for first, rows in parts if rows.numel()]


def _quantize(rows: Tensor, layout: Layout, key: int, first: int) -> tuple[Tensor, Tensor]:
    """Header (float32) and codes (int64) of a matrix of buckets; ``first`` is the first's index."""
    if layout.norm == "range":
        low = rows.amin(dim=1, keepdim=True) + 0.0  # -0.0 becomes 0.0
        span = rows.amax(dim=1, keepdim=True).double() - low.double()
    else:
        low = torch.zeros_like(rows[:, :1])
        span = 2 * (_l2_norm(rows) if layout.norm == "l2" else rows.abs().amax(dim=1, keepdim=True).double())
    unit = _round_up(span / layout.levels)

    # A power of two that keeps 1 / unit and the differences within float32's range. It is exact.
    boost = torch.ones_like(unit)
    boost[(unit > 0) & (unit < 2.0**-100)] = 2.0**64
    boost[unit > 2.0**100] = 2.0**-64
    inverse = torch.where(unit > 0, 1 / (unit * boost), 0)
    t = (rows * boost - low * boost) * inverse
    floor = t.floor()
    finite = (rows - rows == 0).all(dim=1, keepdim=True) & unit.isfinite()
    up = _uniform(rows.shape, key, first, rows.device) < t - floor
    codes = torch.where(finite, floor + up + layout.offset, 0).clamp(0, layout.levels).long()

    header = torch.cat([unit, low], dim=1)[:, : layout.header_floats]
    return torch.where(finite, header, torch.nan), codes


def _l2_norm(rows: Tensor) -> Tensor:
    """Norm of every row in float64, summed by folding halves: one order of additions everywhere."""
    width = 1 << (rows.shape[1] - 1).bit_length()
    squares = torch.nn.functional.pad(rows.double(), (0, width - rows.shape[1])).square()
    while width > 1:
        width //= 2
        squares = squares[:, :width] + squares[:, width:]
    return squares.sqrt()


def _round_up(x: Tensor) -> Tensor:
    """The least float32 that is not below x, so that the grid always reaches the largest value."""
    rounded = x.float()
    above = torch.nextafter(rounded, torch.full_like(rounded, torch.inf))
    return torch.where(rounded.double() < x, above, rounded)


def _uniform(shape: torch.Size, key: int, first: int, device: torch.device) -> Tensor:
    """Uniform float32 in [0, 1) for every position: multiples of 2^-24.

    Every bucket has a 64-bit key of its own; a coordinate hashes its place in the bucket with the
    finalizer "lowbias32" (Wellons, 2018), the second half of the key entering between its rounds.
    """
    words = [mix64(key + GOLDEN * (first + i + 1)) for i in range(shape[0])]
    k1 = torch.tensor([word & MASK32 for word in words], device=device).unsqueeze(1)
    k2 = torch.tensor([word >> 32 for word in words], device=device).unsqueeze(1)
    x = (torch.arange(shape[1], device=device) + k1) & MASK32
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & MASK32
    x = x ^ k2
    x = ((x ^ (x >> 15)) * 0xD35A2D97) & MASK32
    x = x ^ (x >> 15)
    return (x >> 8).float() * 2**-24


def _pack(codes: Tensor, layout: Layout) -> Tensor:
    """(rows, n) codes to (rows, code_bytes) bytes."""
    codes = torch.nn.functional.pad(codes, (0, -codes.shape[1] % 8))
    planes = []
    for width, shift in layout.planes():
        lanes = codes.view(len(codes), 8 // width, -1) >> shift & (1 << width) - 1
        shifts = torch.arange(0, 8, width, device=codes.device).view(1, -1, 1)
        planes.append((lanes << shifts).sum(dim=1))
    return torch.cat(planes, dim=1).to(torch.uint8)


def _unpack(packed: Tensor, layout: Layout, length: int) -> Tensor:
    """(rows, code_bytes) bytes to (rows, length) codes."""
    padded = -(-length // 8) * 8
    codes = packed.new_zeros(len(packed), padded, dtype=torch.int64)
    for width, shift in layout.planes():
        plane, packed = packed.long().split([padded * width // 8, packed.shape[1] - padded * width // 8], dim=1)
        shifts = torch.arange(0, 8, width, device=packed.device).view(1, -1, 1)
        codes |= (plane.unsqueeze(1) >> shifts & (1 << width) - 1).flatten(1) << shift
    return codes[:, :length]
