"""How ranges of a flat vector become payloads."""

from collections.abc import Hashable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from compressors import Compressor
from compressors.base import checked, require_float
from compressors.batch import Batch, Piece
from compressors.random import derive
from hvd_qgenx.exchange.dealing import Deal, Region


class Segment(NamedTuple):
    """Coordinates ``start`` to ``stop`` of a flat vector, which share a compressor."""

    compressor: Compressor
    start: int
    stop: int


class Keys(NamedTuple):
    """Random keys of 64 bits for the coordinates of a segment."""

    own: int
    """This rank's alone."""
    shared: int | None
    """The same on all ranks; None if their payloads are not brought together, so that errors cannot cancel."""


class Coder(NamedTuple):
    """Encodes and decodes ranges of a flat vector, whose payloads have fixed places in a buffer of messages."""

    ranges: Sequence[tuple[int, int]]
    batches: Sequence[tuple[Batch, int]]
    """The batch of every segment that overlaps the ranges, with the segment's number."""


class Codec:
    """Encodes and decodes ranges of a flat vector, each segment by a compressor of its own.

    The payload of a range holds the payloads of all segments that overlap it, in order. All ranks must know its
    pieces, so a compressor whose payloads vary in length has a vector to itself.

    Args:
        members: compressors and their numbers of coordinates, end to end.
        dtype: dtype of the vector.

    Raises:
        TypeError: it is not one that is compressed.
    """

    def __init__(self, members: Sequence[tuple[Compressor, int]], dtype: torch.dtype) -> None:
        stops = list(accumulate(numel for _, numel in members))
        self.segments = [
            Segment(compressor, stop - numel, stop) for (compressor, numel), stop in zip(members, stops, strict=True)
        ]
        self.numel, self.dtype = stops[-1], dtype
        self.exact_size = all(compressor.exact_size for compressor, _ in members)
        self.plans: dict[Hashable, Any] = {}
        """The plans of exchanges; ``refresh`` drops them when they no longer hold."""
        self.rooms: list[Tensor] = []
        """Buffers of messages that no exchange uses at the moment."""
        self._plan_key: list[Hashable] = []
        require_float(dtype)
        if len(members) > 1 and not self.exact_size:
            raise ValueError("a compressor whose payloads vary in length cannot share a vector")

    @property
    def alone(self) -> Compressor | None:
        """The compressor of the whole vector; None if there are several."""
        return self.segments[0].compressor if len(self.segments) == 1 else None

    def refresh(self) -> None:
        """Drops the plans if compressors have changed since, by a level update, say (``Compressor.plan_key``).

        ``Transfer`` calls it, and ``ConcreteExchange.slices``, so that nobody else need: no exchange may be under way
        while compressors change.
        """
        key = [compressor.plan_key(stop - start, self.dtype) for compressor, start, stop in self.segments]
        if key != self._plan_key:
            self._plan_key, self.plans = key, {}

    def coder(self, ranges: Sequence[tuple[int, int, Sequence[int]]], device: torch.device) -> Coder:
        """Returns what codes ranges of vectors on a device, each with the places of one payload or of all ranks'.

        It holds until ``refresh`` drops what was planned before.
        """
        pieces: dict[int, list[Piece]] = {}
        for start, stop, places in ranges:
            offset = 0
            for index, (compressor, first, _), lo, hi in self._overlaps(start, stop):
                size = compressor.payload_bytes(hi - lo, self.dtype)
                piece = Piece(lo, hi, lo - first, size, tuple(place + offset for place in places))
                pieces.setdefault(index, []).append(piece)
                offset += size
        batches = [
            (self.segments[index].compressor.batch(found, self.dtype, device), index) for index, found in pieces.items()
        ]
        return Coder([(start, stop) for start, stop, _ in ranges], batches)

    def is_fixed(self, start: int, stop: int) -> bool:
        """Tells if payloads of a range always have the same bytes at the same places."""
        return self.exact_size and not any(segment.compressor.deals for _, segment, _, _ in self._overlaps(start, stop))

    def room(self, size: int, device: torch.device) -> Tensor:
        """Returns a buffer of so many bytes, or more, that nobody uses; to be put back into ``rooms``."""
        found = self.rooms.pop() if self.rooms else None
        return torch.empty(size, dtype=torch.uint8, device=device) if found is None or found.numel() < size else found

    def next_keys(self) -> list[Keys]:
        """Returns random keys for one exchange, one pair for every segment."""
        streams = [segment.compressor.stream for segment in self.segments]
        return [Keys(stream.next_key(), stream.shared_key()) for stream in streams]

    def payload_bytes(self, start: int, stop: int) -> int:
        """Returns the size of a range's payload in bytes: exact, or an upper bound, as ``exact_size`` says."""
        return sum(
            segment.compressor.payload_bytes(hi - lo, self.dtype) for _, segment, lo, hi in self._overlaps(start, stop)
        )

    def encode(self, part: Tensor, start: int, keys: Sequence[Keys], payload: Tensor) -> int:
        """Writes the payload of the coordinates from ``start`` on; returns its number of bytes."""
        used = 0
        for index, (compressor, first, _), lo, hi in self._overlaps(start, start + len(part)):
            piece = part[lo - start : hi - start]
            own, shared = keys[index]
            shared = None if shared is None else derive(shared, lo - first)
            used += compressor.encode(piece, payload[used:], derive(own, lo), lo - first, shared)
        return used

    def decode(self, payload: Tensor, start: int, part: Tensor, add: bool = False) -> None:
        """Writes the coordinates from ``start`` on to ``part``, or adds them to it.

        ``part`` may be of a wider dtype than the vector, which compressors by themselves do not accept.

        Raises:
            TypeError: ``part`` or ``payload`` is of a dtype that cannot be.
            ValueError: they are not 1-D and contiguous, or this is not the payload of such a range.
        """
        part, payload = checked(part, payload)
        for (compressor, first, _), piece, lo, hi in self._pieces(payload, start, start + len(part)):
            compressor.read(piece, part[lo - start : hi - start], add, lo - first)

    def is_finite(self, payload: Tensor, start: int, stop: int) -> bool:
        """See ``Compressor.is_finite``; the payload is uint8 and contiguous."""
        return all(
            segment.compressor.inspect(piece, hi - lo) for segment, piece, lo, hi in self._pieces(payload, start, stop)
        )

    def cut(self, start: int, stop: int, parts: int) -> list[int]:
        """Returns ``parts + 1`` bounds of ranges with nearly equal payloads, which leave buckets whole.

        Some ranges may be empty.
        """
        overlaps = list(self._overlaps(start, stop))
        sizes = [self._units(segment, lo, hi) * self._unit_bytes(segment) for _, segment, lo, hi in overlaps]
        bounds = [start]
        for part in range(1, parts):
            goal = sum(sizes) * part // parts
            for (_, segment, lo, hi), size in zip(overlaps, sizes, strict=True):
                if goal < size:
                    bounds.append(min(hi, lo + goal // self._unit_bytes(segment) * segment.compressor.alignment))
                    break
                goal -= size
            else:
                bounds.append(stop)
        return [*bounds, stop]

    def deal(self, bounds: Sequence[int], device: torch.device) -> Deal:
        """Returns how blocks of the coordinates between the bounds, which ``cut`` has made, are dealt out to the parts.

        Those of compressors that do not want it stay in their places.
        """
        regions = []
        for _, (compressor, _, _), lo, hi in self._overlaps(bounds[0], bounds[-1]):
            if compressor.deals:
                inside = [min(max(bound, lo), hi) for bound in bounds]
                regions.append(Region.between(inside, compressor.alignment, device))
        return Deal(regions)

    @staticmethod
    def _units(segment: Segment, lo: int, hi: int) -> int:
        """Returns the number of pieces that must stay whole."""
        return -(-(hi - lo) // segment.compressor.alignment)

    def _unit_bytes(self, segment: Segment) -> int:
        """Returns the size of a whole piece's payload in units of 2^-20 bytes, to count fractions too."""
        alignment = segment.compressor.alignment
        return segment.compressor.payload_bytes(alignment << 20, self.dtype)

    def _overlaps(self, start: int, stop: int) -> Iterator[tuple[int, Segment, int, int]]:
        """Yields every segment that overlaps a range: its number, the segment, and the bounds of the overlap."""
        for index, segment in enumerate(self.segments):
            lo, hi = max(start, segment.start), min(stop, segment.stop)
            if lo < hi:
                yield index, segment, lo, hi

    def _pieces(self, payload: Tensor, start: int, stop: int) -> Iterator[tuple[Segment, Tensor, int, int]]:
        parts, given = list(self._overlaps(start, stop)), payload.numel()
        sizes = [given]
        if self.exact_size:
            sizes = [segment.compressor.payload_bytes(hi - lo, self.dtype) for _, segment, lo, hi in parts]
        if sum(sizes) != given:
            raise ValueError(f"a payload of {given} bytes cannot hold the coordinates {start} to {stop}")
        pieces = payload.split(sizes) if len(parts) > 1 else [payload]
        for (_, segment, lo, hi), piece in zip(parts, pieces, strict=False):
            yield segment, piece, lo, hi
