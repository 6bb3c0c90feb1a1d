"""Pieces of a vector that are encoded, or decoded, by one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from compressors.deferred import Deferred
from compressors.random import derive

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


class Piece(NamedTuple):
    """A range of a vector, and where payloads of it lie in a buffer of messages."""

    start: int
    stop: int
    origin: int
    """Place of the first coordinate in the vector that ``lay_out`` described."""
    size: int
    """Bytes of a payload."""
    places: tuple[int, ...]
    """Offsets of payloads: one, or one of every rank whose mean is wanted."""


class Writer(Protocol):
    """The part of a compressor that writes and reads payloads; see ``Compressor``."""

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int: ...

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None: ...

    def inspect(self, payload: Tensor, numel: int) -> bool: ...


class Batch:
    """Encodes and decodes the same pieces of vectors again and again, piece by piece.

    All that does not change is known from the beginning, so a batch holds for as long as ``Compressor.plan_key`` does.

    Args:
        compressor: of all pieces; its payloads have a known length.
        pieces: none of them empty.
    """

    def __init__(self, compressor: Writer, pieces: Sequence[Piece]) -> None:
        self.compressor, self.pieces = compressor, pieces

    def encode(self, vector: Tensor, messages: Tensor, key: int, shared: int | None) -> bool:
        """Writes the payload of every piece to the first of its places.

        Args:
            vector: 1-D, contiguous; of the dtype and device that the batch was made for.
            messages: uint8, likewise.
            key: random key for the whole vector; every piece derives its own from it and from its start.
            shared: likewise, the same on all ranks, or None; see ``Compressor.encode``.

        Returns:
            Do all payloads decode to finite numbers? See ``Compressor.is_finite``.
        """
        finite = True
        for start, stop, origin, size, (place, *_) in self.pieces:
            payload = messages[place : place + size]
            together = None if shared is None else derive(shared, origin)
            self.compressor.write(vector[start:stop], payload, derive(key, start), origin, together)
            finite &= self.compressor.inspect(payload, stop - start)
        return finite

    def decode(self, messages: Tensor, vector: Tensor) -> bool:
        """Writes every piece, decoded, or the mean of what is at its places, summed in order in float32 at least.

        Returns:
            Do all payloads decode to finite numbers? See ``Compressor.is_finite``.
        """
        finite = True
        for start, stop, origin, size, places in self.pieces:
            part = mean = vector[start:stop]
            if len(places) > 1 and part.dtype.itemsize < 4:
                mean = torch.empty_like(part, dtype=torch.float32)
            for number, place in enumerate(places):
                payload = messages[place : place + size]
                self.compressor.read(payload, mean, number > 0, origin)
                finite &= self.compressor.inspect(payload, stop - start)
            if len(places) > 1:
                mean.div_(len(places))
            if mean is not part:
                part.copy_(mean)
        return finite
