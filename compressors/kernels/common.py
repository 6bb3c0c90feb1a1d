"""Parts of the kernels in plain torch that several of them share: random numbers, bit planes."""

import numpy as np
import torch
from torch import Tensor

from compressors.kernels.layout import planes
from compressors.kernels.strata import SECTION, Strata
from compressors.random import GOLDEN, MASK64, mix64_all

MASK32 = 0xFFFFFFFF


def deliver(values: Tensor, vector: Tensor, add: bool) -> None:
    """Writes float32 values to a vector, or adds them to it and rounds once."""
    vector.copy_(vector.float() + values if add else values)


def uniform(shape: torch.Size, key: int, first: int, device: torch.device) -> Tensor:
    """Uniform float32 in [0, 1) for every position: multiples of 2^-24."""
    return (random_words(shape, key, first, device) >> 8).float() * 2**-24


def chances(shape: torch.Size, key: int, first: int, device: torch.device, strata: Strata | None = None) -> Tensor:
    """Returns the numbers of ``uniform``; with ``strata``, those of this rank's parts of [0, 1]."""
    own = uniform(shape, key, first, device)
    if strata is None:
        return own
    part = (_rotations(shape, strata.key, first, device) * strata.ranks).floor() + strata.rank
    part = torch.where(part >= strata.ranks, part - strata.ranks, part)
    return (part + own) * (1 / strata.ranks)


def _rotations(shape: torch.Size, key: int, first: int, device: torch.device) -> Tensor:
    starts = _halves(key, first, shape[0], device)[0]
    words = starts.unsqueeze(1) + torch.arange(shape[1], device=device) * SECTION
    return ((words & MASK32) >> 8).float() * 2**-24


def random_words(shape: torch.Size, key: int, first: int, device: torch.device) -> Tensor:
    """32 random bits for every position, as int64; row i is the bucket of number ``first`` + i.

    Every bucket has a 64-bit key of its own; a coordinate hashes its place in the bucket with the
    finalizer "lowbias32" (Wellons, 2018), the second half of the key entering between its rounds.
    """
    k1, k2 = (half.unsqueeze(1) for half in _halves(key, first, shape[0], device))
    x = (torch.arange(shape[1], device=device) + k1) & MASK32
    x = ((x ^ (x >> 16)) * 0x21F0AAAD) & MASK32
    x = x ^ k2
    x = ((x ^ (x >> 15)) * 0xD35A2D97) & MASK32
    return x ^ (x >> 15)


def _halves(key: int, first: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the halves, the lower first, of the keys of buckets from number ``first`` on, int64 (count,)."""
    numbers = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    keys = mix64_all(np.uint64(key & MASK64) + np.uint64(GOLDEN) * numbers)
    lower, upper = (torch.from_numpy(half.astype(np.int64)).to(device) for half in (keys & MASK32, keys >> 32))
    return lower, upper


def pack_rows(codes: Tensor, bits: int) -> Tensor:
    """(rows, n) codes to (rows, code_bytes) bytes."""
    codes = torch.nn.functional.pad(codes, (0, -codes.shape[1] % 8))
    parts = []
    for width, shift in planes(bits):
        lanes = codes.view(len(codes), 8 // width, -1) >> shift & (1 << width) - 1
        shifts = torch.arange(0, 8, width, device=codes.device).view(1, -1, 1)
        parts.append((lanes << shifts).sum(dim=1))
    return torch.cat(parts, dim=1).to(torch.uint8)


def unpack_rows(packed: Tensor, bits: int, length: int) -> Tensor:
    """(rows, code_bytes) bytes to (rows, length) codes."""
    padded = -(-length // 8) * 8
    codes = packed.new_zeros(len(packed), padded, dtype=torch.int64)
    for width, shift in planes(bits):
        plane, packed = packed.long().split([padded * width // 8, packed.shape[1] - padded * width // 8], dim=1)
        shifts = torch.arange(0, 8, width, device=packed.device).view(1, -1, 1)
        codes |= (plane.unsqueeze(1) >> shifts & (1 << width) - 1).flatten(1) << shift
    return codes[:, :length]
