"""The base of compressors that send few coordinates, as they are, and nothing of the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from compressors import kernels
from compressors.base import Compressor
from compressors.deferred import Deferred
from compressors.parameters import parameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


class Rows(NamedTuple):
    """Buckets of one length: all but the last, or a shorter last one."""

    first: int
    """Number of the first bucket."""
    buckets: int
    length: int
    kept: int
    """Coordinates that each sends."""

    @property
    def sent(self) -> int:
        return self.buckets * self.kept


@dataclass(eq=False)
class Sparsifier(Compressor):
    """Sends a share of the coordinates of every bucket as float32; the others decode to zero.

    The number sent depends on the number of coordinates alone, so all ranks know it. A bucket of which a number is not
    finite decodes to NaN.
    """

    ratio: float = parameter(0.01, "Share of coordinates that is sent, at least one per bucket.", low=1e-4, high=1.0)
    bucket_size: int = parameter(4096, "Coordinates of which a fixed number is sent.", low=1)

    @property
    def alignment(self) -> int:
        return self.bucket_size

    @property
    def ratio_now(self) -> float:
        """The ratio of the exchange whose keys were drawn last; all ranks have drawn as many."""
        return self.ratio

    def kept(self, length: int) -> int:
        """Returns how many coordinates of a bucket of this length are sent."""
        return max(1, round(self.ratio_now * length))

    def sent(self, size: int) -> int:
        """Returns how many of so many coordinates are sent."""
        return sum(rows.sent for rows in self._rows(size))

    def inspect(self, payload: Tensor, numel: int) -> bool:
        head = self.head_bytes
        return kernels.moderate(payload[head : head + 4 * self.sent(numel)])

    @property
    @abstractmethod
    def head_bytes(self) -> int:
        """Bytes before the values."""

    @abstractmethod
    def share_bound(self, length: int) -> float:
        """Returns an upper bound on E||Q(x) - x||^2 / ||x||^2 for a bucket of this length."""

    def variance_bound(self, tensor: Tensor) -> float:
        """Returns the sum over buckets of ``share_bound`` times their squared norm."""
        vector = tensor.double().flatten()
        return sum(self.share_bound(rows.length) * float(part.square().sum()) for rows, part in self.split_rows(vector))

    def split_rows(self, vector: Tensor) -> Iterator[tuple[Rows, Tensor]]:
        """Yields buckets of one length, with their part of a vector as a matrix."""
        start = 0
        for rows in self._rows(len(vector)):
            stop = start + rows.buckets * rows.length
            yield rows, vector[start:stop].view(rows.buckets, rows.length)
            start = stop

    def put(self, rows: Rows, values: Tensor, positions: Tensor, part: Tensor, add: bool) -> None:
        """Writes buckets to their part of a vector, or adds them; ``values`` and ``positions``: (count, kept)."""
        bad = values.isfinite().all(dim=1).logical_not()
        if not add:
            part.zero_()
        sums = part.gather(1, positions) + values
        part.scatter_(1, positions, sums.to(part.dtype))
        if bool(bad.any()):
            part[bad] = torch.nan

    def _rows(self, size: int) -> Iterator[Rows]:
        full, tail = divmod(size, self.bucket_size)
        if full:
            yield Rows(0, full, self.bucket_size, self.kept(self.bucket_size))
        if tail:
            yield Rows(full, 1, tail, self.kept(tail))


def write_floats(values: Tensor, payload: Tensor) -> None:
    """Writes float32 to the front of a payload."""
    data = values.float().contiguous().view(torch.uint8)
    payload[: len(data)] = data


def read_floats(payload: Tensor, count: int) -> Tensor:
    """Returns a copy of ``count`` float32 at the front of a payload."""
    return payload[: 4 * count].clone().view(torch.float32)
