"""Pieces of a vector, all in one call: see ``compressors.batch``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import uint8, uint64
from torch import Tensor

from compressors.batch import Batch, Piece
from compressors.kernels.blocks import SHORTEST
from compressors.kernels.cpu import buckets, nearest, rotated
from compressors.kernels.cpu.buckets import borrow_plan
from compressors.kernels.cpu.lanes import WIDTH, borrow, inline, kernel
from compressors.kernels.cpu.plan import RANGE, plan, scratch_for
from compressors.kernels.cpu.random import Draw
from compressors.kernels.cpu.rotated import Keys, Places
from compressors.kernels.cpu.rows import write
from compressors.kernels.threads import share, threads
from compressors.random import GOLDEN

if TYPE_CHECKING:
    from compressors.quantizer import BucketQuantizer

_START, _STOP, _ORIGIN, _SIZE, _BUCKET, _PLACES = range(6)
"""Columns of a table of pieces: as in ``Piece``, and the number of the first bucket among those of all pieces."""

_CACHED = 1 << 13
"""Coordinates that are decoded from all payloads before the next ones are."""

_KEYED = np.zeros(8, np.uint8)
"""Stands for preambles that are the payload's key."""
_NO_FLOATS, _NO_HALVES = np.empty(0, np.float32), np.empty(0, np.uint16)


class QuantizerBatch(Batch):
    """Encodes and decodes pieces of a vector of at most 32 bits by one call of a kernel, for one thread at a time.

    Args:
        compressor: of the pieces; its preamble is the payload's key, or the same for all payloads.
        pieces: not empty.
        dtype: float32, float16 or bfloat16.
    """

    compressor: BucketQuantizer

    def __init__(self, compressor: BucketQuantizer, pieces: Sequence[Piece], dtype: torch.dtype) -> None:
        super().__init__(compressor, pieces)
        layout, preamble = compressor.layout, compressor.constant_preamble()
        counts = [layout.buckets(piece.stop - piece.start) for piece in pieces]
        firsts = np.cumsum([0, *counts])
        self._table = np.array(
            [
                (piece.start, piece.stop, piece.origin, piece.size, first, *piece.places)
                for piece, first in zip(pieces, firsts, strict=False)
            ]
        )
        self._count, self._numel = int(firsts[-1]), sum(piece.stop - piece.start for piece in pieces)
        self._alone = threads() == 1
        self._single, self._brain = dtype == torch.float32, dtype == torch.bfloat16
        self._together = compressor.correlated and compressor.ranks > 1
        if compressor.rotates:
            self._make_scratch = partial(rotated.room, layout.bucket_size)
        else:
            self._make_scratch = partial(scratch_for, min(layout.bucket_size, self._numel))
        self._facts, self._scratch = np.ones(2, np.uint8), self._make_scratch()
        rank, ranks = (compressor.stream.rank, compressor.ranks) if self._together else (0, 1)
        self._format = (
            plan(layout),
            nearest.tables((layout.points,)) if compressor.rotates else (_NO_FLOATS, _NO_FLOATS),
            compressor.rotates,
            _KEYED if preamble is None else np.array(list(preamble), np.uint8),
            preamble is None,
            self._table,
        )
        self._ranks = np.float32(rank), np.float32(ranks), np.float32(1 / ranks)

    def encode(self, vector: Tensor, messages: Tensor, key: int, shared: int | None) -> bool:
        floats = vector.numpy() if self._single else _NO_FLOATS
        halves = _NO_HALVES if self._single else vector.view(torch.uint16).numpy()
        together = self._together and shared is not None
        keys = np.uint64(key), together, np.uint64(shared or 0), *self._ranks
        arguments = floats, halves, self._brain, *self._format, keys, messages.numpy(), self._facts
        self._facts[:] = 1
        if self._alone:
            _encode(*arguments, self._scratch, 0, self._count)
        else:
            self._share(_encode, arguments)
        return bool(self._facts[0])

    def decode(self, messages: Tensor, vector: Tensor) -> bool:
        floats = vector.numpy() if self._single else _NO_FLOATS
        halves = _NO_HALVES if self._single else vector.view(torch.uint16).numpy()
        arguments = floats, halves, self._brain, *self._format, messages.numpy(), self._facts
        self._facts[:] = 1
        if self._alone:
            _decode(*arguments, self._scratch, 0, self._count)
        else:
            self._share(_decode, arguments)
        if not self._facts[1]:
            self._refuse(messages)
        return bool(self._facts[0])

    def _share(self, function: Any, arguments: tuple[Any, ...]) -> None:
        def work(first: int, last: int) -> None:
            function(*arguments, self._make_scratch(), first, last)

        share(self._count, self._numel, work)

    def _refuse(self, messages: Tensor) -> None:
        """Raises ValueError for the first payload that was made with other levels."""
        for piece in self.pieces:
            for place in piece.places:
                self.compressor.open(messages[place : place + piece.size])


@kernel
def _encode(
    floats,
    halves,
    brain,
    plan,
    tables,
    rotates,
    preamble,
    seeded,
    table,
    keys,
    messages,
    facts,
    scratch,
    first,
    last,
):
    """Writes the payloads of buckets from ``first`` to before ``last``; ``facts[0]`` becomes 0 if one is not finite."""
    floats, halves, messages = borrow(floats), borrow(halves), borrow(messages)
    plan, table = borrow_plan(plan), borrow(table)
    own, together, shared, rank, ranks, part = keys
    for number in range(len(table)):
        start, stop, lo, hi, count = _buckets(table, number, plan.bucket_size, first, last)
        if lo >= hi:
            continue
        key, place = _derive(own, start), table[number, _PLACES]
        draw = Draw(key, together, _derive(shared, table[number, _ORIGIN]), rank, ranks, part)
        if lo == 0:
            for k in range(len(preamble)):
                messages[place + k] = uint8(key >> uint64(8 * k)) if seeded else preamble[k]
        body, end = place + len(preamble), place + table[number, _SIZE]
        piece_floats, piece_halves = floats[start:stop], halves[start:stop]
        width = 2 if plan.norm == RANGE else 1
        header = np.empty((count, width), np.float32)
        if rotates:
            places = _places(plan, count)
            rotated.encode(
                piece_floats,
                piece_halves,
                brain,
                plan,
                tables,
                Keys(_derive(key, 1), _derive(key, 2), draw),
                places,
                np.ones(count),
                messages[body:end],
                scratch,
                lo,
                hi,
            )
            _read_header(messages, body, header, lo, hi)
        else:
            split = body + 4 * width * count
            buckets.encode(piece_floats, piece_halves, brain, plan, draw, header, messages[split:end], scratch, lo, hi)
            words = header.reshape(-1).view(np.uint8)
            for i in range(4 * width * lo, 4 * width * hi):
                messages[body + i] = words[i]
        if not _moderate(header, lo, hi):
            facts[0] = uint8(0)


@kernel
def _decode(
    floats,
    halves,
    brain,
    plan,
    tables,
    rotates,
    preamble,
    seeded,
    table,
    messages,
    facts,
    scratch,
    first,
    last,
):
    """Writes the means of the buckets from ``first`` to before ``last`` at their places.

    ``facts[0]`` becomes 0 if a payload is not finite, ``facts[1]`` if one has another preamble.
    """
    floats, halves, messages = borrow(floats), borrow(halves), borrow(messages)
    plan, table, preamble = borrow_plan(plan), borrow(table), borrow(preamble)
    ranks = table.shape[1] - _PLACES
    group = max(1, _CACHED // plan.bucket_size)
    width = 2 if plan.norm == RANGE else 1
    for number in range(len(table)):
        start, stop, lo, hi, count = _buckets(table, number, plan.bucket_size, first, last)
        if lo >= hi:
            continue
        direct = ranks == 1 or len(floats) > 0
        into, halves_into = floats[start:stop], halves[start:stop]
        sums = np.empty(0 if direct else stop - start + WIDTH, np.float32)
        if not direct:
            into, halves_into = sums[: stop - start], halves[:0]
        header = np.empty((count, width), np.float32)
        places = _places(plan, count if rotates else 0)
        for place in table[number, _PLACES:]:
            if not seeded and not _same(messages, place, preamble):
                facts[1] = uint8(0)
        for begin in range(lo, hi, group):
            end = min(begin + group, hi)
            for k in range(ranks):
                place = table[number, _PLACES + k]
                body, stop_byte = place + len(preamble), place + table[number, _SIZE]
                key = _read_key(messages, place) if seeded else uint64(0)
                draw = Draw(key, False, uint64(0), np.float32(0), np.float32(1), np.float32(1))
                _read_header(messages, body, header, begin, end)
                if not _moderate(header, begin, end):
                    facts[0] = uint8(0)
                if rotates:
                    turns = Keys(_derive(key, 1), _derive(key, 2), draw)
                    packed = messages[body:stop_byte]
                    rotated.decode(
                        packed, plan, tables, turns, places, into, halves_into, brain, k > 0, scratch, begin, end
                    )
                else:
                    packed = messages[body + 4 * width * count : stop_byte]
                    buckets.decode(header, packed, plan, draw, into, halves_into, brain, k > 0, scratch, begin, end)
            if ranks > 1:
                at, until = begin * plan.bucket_size, min(end * plan.bucket_size, stop - start)
                means = into[at:until]
                for i in range(len(means)):
                    means[i] = means[i] / np.float32(ranks)
                if not direct:
                    write(sums[at:], until - at, floats, halves[start:stop], brain, at, False)


@inline
def _buckets(table, number, bucket_size, first, last):
    """Start and stop of a piece, those of its buckets that are wanted, and how many it has."""
    start, stop, before = table[number, _START], table[number, _STOP], table[number, _BUCKET]
    count = -(-(stop - start) // bucket_size)
    return start, stop, max(first - before, 0), min(last - before, count), count


@inline
def _places(plan, count):
    """The places of rotated blocks of one width: headers first."""
    headers, codes, step = np.empty(count, np.int64), np.empty(count, np.int64), plan.bits * (plan.bucket_size // 8)
    for i in range(count):
        headers[i] = 4 * i
        codes[i] = 4 * count + step * i
    return Places(SHORTEST, np.full(count, plan.bits), headers, codes)


@inline
def _read_header(messages, body, header, lo, hi):
    words = header.reshape(-1).view(np.uint8)
    for i in range(4 * header.shape[1] * lo, 4 * header.shape[1] * hi):
        words[i] = messages[body + i]


@inline
def _moderate(header, lo, hi):
    """Tells of buckets what ``kernels.moderate`` tells of a header."""
    found = True
    for i in range(lo, hi):
        for k in range(header.shape[1]):
            found = found and np.abs(header[i, k]) < np.float32(2.0**110)
    return found


@inline
def _same(messages, place, preamble):
    found = True
    for k in range(len(preamble)):
        found = found and messages[place + k] == preamble[k]
    return found


@inline
def _read_key(messages, place):
    key = uint64(0)
    for k in range(8):
        key |= uint64(messages[place + k]) << uint64(8 * k)
    return key


@inline
def _derive(key, word):
    """``compressors.random.derive`` of two words."""
    return _mix(_mix(uint64(GOLDEN) + _mix(uint64(key))) + uint64(GOLDEN) + _mix(uint64(word)))


@inline
def _mix(x):
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))
