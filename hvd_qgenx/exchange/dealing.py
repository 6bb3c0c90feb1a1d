"""Deals the blocks of a range out to ranks in turn."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Region(NamedTuple):
    """Blocks of one length that are dealt out."""

    start: int
    length: int
    order: Tensor
    """(blocks,) int64: the blocks of every part, part by part."""

    @property
    def stop(self) -> int:
        return self.start + len(self.order) * self.length

    @classmethod
    def between(cls, bounds: Sequence[int], length: int, device: torch.device) -> "Region":
        """Returns the blocks between the first and the last of these bounds, all multiples of blocks but the last."""
        counts = tuple((stop - start) // length for start, stop in pairwise(bounds))
        return cls(bounds[0], length, dealt(counts, device))


class Deal:
    """Another order of coordinates, in which every part of a range has blocks from all over it.

    A compressor that spends bits where they lower the error most can do so within a part only. Energies of
    neighbouring blocks are alike, so that parts of neighbours differ by orders of magnitude; dealt parts do not.

    Args:
        regions: where blocks are dealt, in increasing order; other coordinates stay in their places.
    """

    def __init__(self, regions: Sequence[Region] = ()) -> None:
        self.regions = [region for region in regions if len(region.order) > 1]
        self._memory: Tensor | None = None

    def take(self, vector: Tensor, start: int, stop: int) -> Tensor:
        """Returns the coordinates from ``start`` to ``stop`` in this order: the vector's, or a copy, see ``borrow``."""
        if not self.moves(start, stop):
            return vector[start:stop]
        part = self.borrow(vector, stop - start)
        for region, lo, hi in self._pieces(start, stop):
            piece = part[lo - start : hi - start]
            if region is None:
                piece.copy_(vector[lo:hi])
            else:
                torch.index_select(
                    _blocks(vector, region), 0, _order(region, lo, hi), out=piece.view(-1, region.length)
                )
        return part

    def put(self, values: Tensor, vector: Tensor, start: int) -> None:
        """Writes coordinates from ``start`` on in this order to their places in a vector."""
        for region, lo, hi in self._pieces(start, start + len(values)):
            piece = values[lo - start : hi - start]
            if region is None:
                vector[lo:hi] = piece
            else:
                _blocks(vector, region).index_copy_(0, _order(region, lo, hi), piece.view(-1, region.length))

    def borrow(self, vector: Tensor, size: int) -> Tensor:
        """Returns memory for so many coordinates of such a vector, to be used until the next call.

        New memory for every part would cost more than the copy.
        """
        if self._memory is None or len(self._memory) < size or self._memory.dtype != vector.dtype:
            self._memory = vector.new_empty(size)
        return self._memory[:size]

    def moves(self, start: int, stop: int) -> bool:
        """Tells if any of these coordinates are of another place."""
        return any(region is not None for region, _, _ in self._pieces(start, stop))

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[Region | None, int, int]]:
        """Yields the ranges that make up this one, each with the region whose blocks it has, if any; at least one."""
        place = start
        for region in self.regions:
            lo, hi = max(place, region.start), min(stop, region.stop)
            if lo < hi:
                if place < lo:
                    yield None, place, lo
                yield region, lo, hi
                place = hi
        if place < stop or start == stop:
            yield None, place, stop


IN_PLACE = Deal()
"""Nothing is dealt."""


def _blocks(vector: Tensor, region: Region) -> Tensor:
    return vector[region.start : region.stop].view(-1, region.length)


def _order(region: Region, lo: int, hi: int) -> Tensor:
    return region.order[(lo - region.start) // region.length : (hi - region.start) // region.length]


@lru_cache(maxsize=256)
def dealt(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns the blocks (int64) of parts that get so many, part by part; those of each lie evenly over all.

    >>> dealt((3, 3, 2), torch.device("cpu")).tolist()
    [0, 3, 6, 1, 4, 7, 2, 5]
    """
    turns = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count] or [np.empty(0)])
    blocks = np.empty(len(turns), np.int64)
    blocks[np.argsort(turns, kind="stable")] = np.arange(len(turns))
    return torch.from_numpy(blocks).to(device)
