"""Top-k sparsification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.base import Shape, numel
from compressors.deferred import Deferred
from compressors.kernels.layout import packed_bytes
from compressors.registry import register
from compressors.sparsifier import Rows, Sparsifier, read_floats, write_floats

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.kernels import integers
else:
    torch = Deferred("torch")
    integers = Deferred("compressors.kernels.integers")


@register("topk")
@dataclass(eq=False)
class TopK(Sparsifier):
    """Sends the largest magnitudes of every bucket, of equal ones those that come first.

    They are chosen per bucket, not per tensor or over the whole vector: so the result depends neither on the exchange
    nor on how it cuts the vector, and sizes are known. A ``bucket_size`` beyond the number of coordinates is top-k of
    the whole vector, which an exchange then cannot cut. Deterministic and biased: for error feedback.

    Source: Stich, Cordonnier and Jaggi, "Sparsified SGD with Memory" (NeurIPS 2018).

    Payload: the values (float32), then their places in the buckets, increasing, in as few bits as the longest bucket
    needs, packed as ``kernels.integers`` says.
    """

    unbiased = False
    stochastic = False
    head_bytes = 0

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        size = numel(shape)
        sent = self.sent(size)
        return 4 * sent + packed_bytes(self._width(size), integers.BLOCK, sent)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        values, positions = [], []
        for rows, part in self.split_rows(vector):
            chosen = kernels.for_device(vector.device).largest(kernels.readable(part), rows.kept)
            values.append(part.gather(1, chosen.long()).flatten())
            positions.append(chosen.flatten())
        if values:
            split, width = 4 * self.sent(len(vector)), self._width(len(vector))
            write_floats(torch.cat(values), payload)
            if width:
                kernel = kernels.for_device(vector.device)
                kernel.pack_integers(torch.cat(positions), width, 0, payload[split:])
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        sent = self.sent(len(vector))
        values, positions = read_floats(payload, sent), self._positions(payload[4 * sent :], len(vector), sent)
        at, found = 0, []
        for rows, part in self.split_rows(vector):
            chosen = positions[at : at + rows.sent].view(rows.buckets, rows.kept)
            self._check(chosen, rows)
            found.append((rows, values[at : at + rows.sent].view(rows.buckets, rows.kept), chosen, part))
            at += rows.sent
        for each in found:
            self.put(*each, add)

    def share_bound(self, length: int) -> float:
        """Returns 1 - k / d: the coordinates that are left out are not larger than the mean."""
        return 1 - self.kept(length) / length

    def _positions(self, packed: Tensor, size: int, sent: int) -> Tensor:
        positions = torch.zeros(sent, dtype=torch.int32, device=packed.device)
        if width := self._width(size):
            kernels.for_device(packed.device).add_integers(packed, width, 0, positions)
        return positions.long()

    def _check(self, positions: Tensor, rows: Rows) -> None:
        ordered = bool((positions[:, 1:] > positions[:, :-1]).all())
        if not ordered or bool((positions[:, -1] >= rows.length).any()):
            raise ValueError(f"{self.name}: the payload has coordinates that do not exist, or not in order")

    def _width(self, size: int) -> int:
        """Returns the bits of a place in a bucket."""
        return max(0, min(size, self.bucket_size) - 1).bit_length()
