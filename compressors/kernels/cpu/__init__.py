"""The quantizers for CPU tensors: one pass over every bucket while it is in cache, by Numba.

Sums and products keep the order of the reference; fast-math is off, so the bits are the same.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressors.kernels import reference
from compressors.kernels.cpu import buckets, grouped, integers, natural, selection, shuffling
from compressors.kernels.cpu.allocation import water_level
from compressors.kernels.cpu.lanes import WIDTH
from compressors.kernels.cpu.plan import aligned, plan, scratch_for
from compressors.kernels.cpu.random import draw_for
from compressors.kernels.cpu.rotation import decode_rotated as decode_rotated
from compressors.kernels.cpu.rotation import decode_variable as decode_variable
from compressors.kernels.cpu.rotation import encode_rotated as encode_rotated
from compressors.kernels.cpu.rotation import encode_variable as encode_variable
from compressors.kernels.cpu.rotation import energies as energies
from compressors.kernels.cpu.rows import parts
from compressors.kernels.grouped import Grouped
from compressors.kernels.integers import BLOCK, Rounded
from compressors.kernels.layout import Layout
from compressors.kernels.natural import Window
from compressors.kernels.strata import Strata
from compressors.kernels.threads import share

__all__ = [
    "add_integers",
    "decode",
    "decode_grouped",
    "decode_integers",
    "decode_natural",
    "decode_rotated",
    "decode_variable",
    "encode",
    "encode_grouped",
    "encode_integers",
    "encode_natural",
    "encode_rotated",
    "encode_variable",
    "energies",
    "largest",
    "pack",
    "pack_integers",
    "shuffle",
    "unpack",
    "water_level",
]


def encode(vector: Tensor, layout: Layout, key: int, payload: Tensor, strata: Strata | None = None) -> None:
    if layout.norm == "projection":  # only rotated blocks are projected: rotation.py
        reference.encode(vector, layout, key, payload)
        return
    split = layout.header_bytes(len(vector))
    header = np.empty((layout.buckets(len(vector)), layout.header_floats), np.float32)
    arguments = (*parts(vector), plan(layout), draw_for(key, strata), header, payload[split:].numpy())
    room = min(layout.bucket_size, len(vector))
    share(len(header), len(vector), lambda first, last: buckets.encode(*arguments, scratch_for(room), first, last))
    payload[:split].numpy()[:] = header.reshape(-1).view(np.uint8)


def decode(
    payload: Tensor, layout: Layout, vector: Tensor, key: int = 0, add: bool = False, strata: Strata | None = None
) -> None:
    split = layout.header_bytes(len(vector))
    header = np.frombuffer(payload[:split].numpy().tobytes(), np.float32).reshape(-1, layout.header_floats)
    arguments = (header, payload[split:].numpy(), plan(layout), draw_for(key, strata), *parts(vector), add)
    room = min(layout.bucket_size, len(vector))
    share(len(header), len(vector), lambda first, last: buckets.decode(*arguments, scratch_for(room), first, last))


def unpack(packed: Tensor, layout: Layout, numel: int) -> Tensor:
    codes = torch.empty(numel, dtype=torch.uint8)
    buckets.unpack(packed.numpy(), layout.bits, layout.bucket_size, codes.numpy())
    return codes


def pack(codes: Tensor, layout: Layout) -> Tensor:
    packed = torch.empty(layout.payload_bytes(len(codes)) - layout.header_bytes(len(codes)), dtype=torch.uint8)
    buckets.pack(codes.numpy(), layout.bits, layout.bucket_size, packed.numpy())
    return packed


def encode_integers(
    vector: Tensor, scale: float, bits: int, most: int, key: int | None, packed: Tensor, strata: Strata | None = None
) -> Rounded:
    random = key is not None, draw_for(key or 0, strata)
    arguments = *parts(vector), np.float32(scale), bits, most, *random, packed.numpy()
    found = []

    def work(first: int, last: int) -> None:
        facts = np.zeros(2, np.int64)
        integers.encode(*arguments, aligned(BLOCK, np.float32), *_words_and_codes(), facts, first, last)
        found.append(facts)

    share(-(-len(vector) // BLOCK), len(vector), work)
    return Rounded(max(int(facts[0]) for facts in found), sum(int(facts[1]) for facts in found))


def add_integers(packed: Tensor, bits: int, most: int, sums: Tensor) -> bool:
    arguments = packed.numpy(), bits, most, sums.numpy().view(np.uint32)
    found = []

    def work(first: int, last: int) -> None:
        found.append(integers.add(*arguments, *_words_and_codes(), first, last))

    share(-(-len(sums) // BLOCK), len(sums), work)
    return all(found)


def pack_integers(values: Tensor, bits: int, offset: int, packed: Tensor) -> None:
    arguments = values.numpy().view(np.uint32), bits, offset, packed.numpy()
    count, numel = -(-len(values) // BLOCK), len(values)
    share(count, numel, lambda first, last: integers.pack(*arguments, *_words_and_codes(), first, last))


def decode_integers(packed: Tensor, bits: int, offset: int, factor: float, vector: Tensor, add: bool = False) -> None:
    arguments = packed.numpy(), bits, offset, np.float32(factor), *parts(vector), add

    def work(first: int, last: int) -> None:
        integers.decode(*arguments, aligned(BLOCK, np.float32), *_words_and_codes(), first, last)

    share(-(-len(vector) // BLOCK), len(vector), work)


def encode_natural(vector: Tensor, bits: int, key: int, packed: Tensor, strata: Strata | None = None) -> None:
    arguments = *parts(vector), bits == 9, Window(bits).scale, draw_for(key, strata), packed.numpy()

    def work(first: int, last: int) -> None:
        natural.encode(*arguments, aligned(BLOCK, np.float32), *_codes_and_signs(), first, last)

    share(-(-len(vector) // BLOCK), len(vector), work)


def decode_natural(packed: Tensor, bits: int, vector: Tensor, add: bool = False) -> None:
    arguments = packed.numpy(), bits == 9, 1 / Window(bits).scale, *parts(vector), add

    def work(first: int, last: int) -> None:
        natural.decode(*arguments, aligned(BLOCK, np.float32), *_codes_and_signs(), first, last)

    share(-(-len(vector) // BLOCK), len(vector), work)


def encode_grouped(
    vector: Tensor, groups: Grouped, key: int | None, symbols: Tensor, strata: Strata | None = None
) -> None:
    scales = groups.chosen.numpy(), groups.scales.numpy()
    random = key is None, draw_for(key or 0, strata)
    arguments = vector.numpy(), groups.length, *grouped.arrays(groups.tables), *scales, *random, symbols.numpy()

    def work(first: int, last: int) -> None:
        grouped.encode(*arguments, grouped.room(), first, last)

    share(-(-len(vector) // grouped.BLOCK), len(vector), work)


def decode_grouped(symbols: Tensor, groups: Grouped, vector: Tensor) -> None:
    scales = groups.chosen.numpy(), groups.scales.numpy()
    arguments = symbols.numpy(), groups.length, grouped.decoded(groups.tables), *scales, vector.numpy()
    share(len(groups.chosen), len(vector), lambda first, last: grouped.decode(*arguments, first, last))


def largest(rows: Tensor, count: int) -> Tensor:
    if count == rows.shape[1]:
        return torch.arange(count, dtype=torch.int32).repeat(len(rows), 1)
    words = rows.float().contiguous().numpy().view(np.uint32)
    places = torch.empty(len(rows), count, dtype=torch.int32)
    arguments = words, places.numpy()

    def work(first: int, last: int) -> None:
        selection.select(*arguments, aligned(selection.BINS, np.int32), first, last)

    share(len(rows), rows.numel(), work)
    return places


def shuffle(swaps: Tensor, length: int) -> Tensor:
    positions = torch.empty_like(swaps)
    arguments = swaps.numpy(), positions.numpy()

    def work(first: int, last: int) -> None:
        shuffling.shuffle(arguments[0], np.empty(length, np.int32), arguments[1], first, last)

    share(len(swaps), length * len(swaps), work)
    return positions


def _codes_and_signs() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Room for a block."""
    return aligned(BLOCK + 4 * WIDTH, np.uint8), aligned(BLOCK + 4 * WIDTH, np.uint8)


def _words_and_codes() -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Room for a block."""
    return aligned(BLOCK + 4 * WIDTH, np.uint32), aligned(BLOCK + 4 * WIDTH, np.uint8)
