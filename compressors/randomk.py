"""Random-k sparsification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from compressors import kernels
from compressors.base import Shape, byte_tensor, numel
from compressors.deferred import Deferred
from compressors.dither import KEY
from compressors.parameters import parameter
from compressors.random import SharedStream
from compressors.registry import register
from compressors.sparsifier import Rows, Sparsifier, read_floats, write_floats

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.kernels import common
else:
    torch = Deferred("torch")
    common = Deferred("compressors.kernels.common")


@register("randomk")
@dataclass(eq=False)
class RandomK(Sparsifier):
    """Sends coordinates at random places of every bucket, the same on all ranks at a step.

    The places are not sent, only the key that they are drawn from. Scaled values, times d / k, are unbiased;
    unscaled ones are for error feedback. As places are shared, errors of ranks do not average out.

    Source: Wangni et al., "Gradient Sparsification for Communication-Efficient Distributed Optimization" (NeurIPS
    2018); Stich, Cordonnier and Jaggi, "Sparsified SGD with Memory" (NeurIPS 2018).

    Payload: the random key (8 bytes), then the values (float32).
    """

    shared_randomness = True
    head_bytes = KEY.size

    scaled: str = parameter("yes", "Are values scaled up, to be unbiased?", choices=("yes", "no"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream = SharedStream()

    def for_rank(self, rank: int, seed: int | None = None, ranks: int = 1) -> Self:
        other = super().for_rank(rank, seed, ranks)
        other.stream = SharedStream(other.stream.seed, rank)
        return other

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return self.scaled == "yes"

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return KEY.size + 4 * self.sent(numel(shape))

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        payload[: KEY.size] = byte_tensor(KEY.pack(key))
        stop = KEY.size
        for rows, part in self.split_rows(vector):
            values = part.gather(1, positions(rows, key, vector.device)).float()
            if self.unbiased:
                values *= rows.length / rows.kept
            low, high = torch.aminmax(part, dim=1, keepdim=True)
            values = torch.where(low.isfinite() & high.isfinite(), values, torch.nan)
            write_floats(values.flatten(), payload[stop:])
            stop += 4 * rows.sent
        return stop

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        key = KEY.unpack(bytes(payload[: KEY.size].tolist()))[0]
        stop = KEY.size
        for rows, part in self.split_rows(vector):
            values = read_floats(payload[stop:], rows.sent).view(rows.buckets, rows.kept)
            self.put(rows, values, positions(rows, key, vector.device), part, add)
            stop += 4 * rows.sent

    def share_bound(self, length: int) -> float:
        """Returns the error itself: d / k - 1 scaled, 1 - k / d unscaled."""
        kept = self.kept(length)
        return length / kept - 1 if self.unbiased else 1 - kept / length


def positions(rows: Rows, key: int, device: torch.device) -> Tensor:
    """Returns the places of a random subset of every bucket, (count, kept), without repetition.

    They are the front of a shuffle by Fisher and Yates: at every step i, one of the places from i on takes place i.
    """
    words = common.random_words(torch.Size((rows.buckets, rows.kept)), key, rows.first, device)
    steps = torch.arange(rows.kept, device=device)
    swaps = steps + (words * (rows.length - steps) >> 32)
    return kernels.for_device(device).shuffle(swaps, rows.length)
