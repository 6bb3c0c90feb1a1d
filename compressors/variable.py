"""A width of its own for every bucket."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from compressors import kernels
from compressors.base import Compressor, Shape, byte_tensor, numel
from compressors.deferred import Deferred
from compressors.dither import KEY
from compressors.kernels.blocks import padded
from compressors.kernels.layout import Layout
from compressors.parameters import parameter
from compressors.random import derive
from compressors.registry import register
from compressors.rotated import LENGTHS, RESIDUAL_BIAS, projection_layout, relative_error

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

else:
    np, torch = Deferred("numpy"), Deferred("torch")

Array: TypeAlias = "NDArray[np.float64]"

WIDEST = 8
"""The widest codes; a bucket with more bits is quantized twice."""
DEEPEST = 14
"""The most bits of a bucket that is quantized twice."""
NOT_FINITE = 15
"""Marks, in place of a width, a bucket that holds Inf or NaN."""
_SCALE_BITS = 32
RAREST = 2.0**-20
"""Least probability of sending a bucket that is not zero."""


@register("variable")
@dataclass(eq=False)
class Variable(Compressor):
    """Spends bits where they lower the error most: 0 to 8 for every bucket, so many on average.

    Buckets are rotated and quantized as in ``Rotated``, whose error is a known fraction of the
    bucket's energy. Widths minimise the sum of errors (reverse water-filling, in whole bits). A
    bucket not worth one bit is sent with a probability, at one bit and scaled up by its inverse,
    so its expectation stays. Of buckets of equal energy the first ones get the bits that do not suffice
    for all.

    Weighting ``global`` minimises ||Q(x) - x||^2; ``per-layer`` the sum over tensors of
    ||Q(x) - x||^2 / ||x||^2, so that no layer's error drowns in that of a larger one. The tensors
    are those of ``lay_out``; without it the vector counts as one. A bucket across two layers spreads
    its error over both.

    With ``widest`` 14 a bucket may have up to 14 bits: 8 for itself, and the others for what these leave of it, in
    another basis and with a scale of its own. That lowers the error where few buckets hold most of the energy.

    Payload: the random key (8 bytes); the widths, two in a byte; then for every width from 1 to 8
    the buckets that have it, as in ``Rotated``; then the same for what is left of buckets of more than 8 bits; then
    zeros up to the fixed size. The last bucket is filled with zeros to the length of the others.
    """

    shares_bits = True
    residual_bias = RESIDUAL_BIAS

    bits: float = parameter(3.0, "Bits per coordinate on average; may be a fraction.", low=0.25, high=8.0)
    bucket_size: int = parameter(1024, "Coordinates that share one width.", choices=LENGTHS)
    widest: int = parameter(WIDEST, "The most bits that a bucket may have.", choices=(WIDEST, DEEPEST))
    weighting: str = parameter("global", "Which error is made least.", choices=("global", "per-layer"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sizes: tuple[int, ...] = ()

    @property
    def alignment(self) -> int:
        return self.bucket_size

    @property
    def deals(self) -> bool:
        return self.weighting == "global"  # the other needs to know the layers of coordinates

    def lay_out(self, shapes: Sequence[Shape]) -> None:
        self._sizes = tuple(map(numel, shapes))

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        vector = kernels.readable(vector)
        length, count = self._blocks(len(vector))
        chances, widths = self._allocate(vector, start)
        widths = np.where(drawn(chances, key), widths, 0)
        widths[np.isnan(chances)] = NOT_FINITE
        with np.errstate(divide="ignore"):
            factors = 1 / chances
        stop = self._head_bytes(count)
        payload[:stop] = byte_tensor(KEY.pack(key) + _pack(widths))
        passes = _passes(widths, length, payload[stop:])
        self._encode(vector, passes.first, factors, key, length, passes.body)
        if passes.refined.any():
            rest = _rows(vector.float(), length)
            decoded = self._decode(passes.body, passes.first, key, length, rest.device)
            rest = (rest - decoded)[torch.from_numpy(passes.refined).to(rest.device)].flatten()
            self._encode(rest, passes.second, np.ones(len(passes.second)), derive(key, 4), length, passes.rest)
        else:
            passes.rest.zero_()
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        size, device = vector.numel(), vector.device
        length, _ = self._blocks(size)
        key, widths, body = self._open(payload, size)
        passes = _passes(widths, length, body)
        if not passes.refined.any():
            kernel, chosen = kernels.for_device(device), torch.from_numpy(passes.first).to(device)
            kernels.deliver(
                lambda target, add: kernel.decode_variable(passes.body, _layouts(length), chosen, target, key, add),
                vector,
                add,
            )
            return
        rows = self._decode(passes.body, passes.first, key, length, device)
        rest = self._decode(passes.rest, passes.second, derive(key, 4), length, device)
        rows[torch.from_numpy(passes.refined).to(device)] += rest
        kernels.deliver_values(rows.flatten(), vector, add)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        length, _ = self._blocks(numel)
        _, widths, body = self._open(payload, numel)
        passes = _passes(widths, length, body)
        for chosen, part in ((passes.first, passes.body), (passes.second, passes.rest)):
            start = 0
            for layout in _layouts(length):
                coded = int((chosen == layout.bits).sum()) * length
                if not kernels.moderate(part[start : start + layout.header_bytes(coded)]):
                    return False
                start += layout.payload_bytes(coded)
        return not (widths == NOT_FINITE).any()

    def _encode(
        self, vector: Tensor, widths: NDArray[np.int64], factors: Array, key: int, length: int, body: Tensor
    ) -> None:
        device = vector.device
        kernels.for_device(device).encode_variable(
            vector,
            _layouts(length),
            torch.from_numpy(widths).to(device),
            torch.from_numpy(factors).to(device),
            key,
            body,
        )

    def _decode(self, body: Tensor, widths: NDArray[np.int64], key: int, length: int, device: torch.device) -> Tensor:
        """Returns what a pass holds, as a new float32 matrix with a row for every bucket."""
        values = torch.empty(len(widths) * length, dtype=torch.float32, device=device)
        chosen = torch.from_numpy(widths).to(device)
        kernels.for_device(device).decode_variable(body, _layouts(length), chosen, values, key)
        return values.view(-1, length)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        length, count = self._blocks(numel(shape))
        return self._head_bytes(count) + 4 * count + self._budget(numel(shape)) * length // 8

    def variance_bound(self, tensor: Tensor) -> float:
        """The sum over buckets of its fraction of their energy, and 5 % as in ``Rotated``."""
        vector = tensor.detach().float().flatten()
        chances, widths = self._allocate(vector, 0)
        fractions = _errors(self.widest)[widths - 1]
        chances = np.where(chances > 0, chances, 1.0)
        return 1.05 * float(self._energies(vector) @ ((1 + fractions) / chances - 1))

    def _allocate(self, vector: Tensor, start: int) -> tuple[Array, NDArray[np.int64]]:
        """Probabilities and widths of all buckets, which leave room for the second scales of the widest."""
        length, _ = self._blocks(len(vector))
        costs, budget, reserved = self._costs(vector, start), self._budget(len(vector)), 0
        while True:
            chances, widths = allocate(costs, budget - reserved, self.widest)
            needed = -(-_SCALE_BITS * int((widths > WIDEST).sum()) // length) if len(vector) else 0
            if needed <= reserved:
                return chances, widths
            reserved = needed

    def _costs(self, vector: Tensor, start: int) -> Array:
        """Returns the cost of a relative error of one, for every bucket."""
        costs = self._energies(vector)
        if self.weighting == "per-layer" and len(vector) and start + len(vector) <= sum(self._sizes):
            length, count = self._blocks(len(vector))
            costs = costs * self._layer_weights(vector, start, count, length)
        return costs

    def _energies(self, vector: Tensor) -> Array:
        length, count = self._blocks(len(vector))
        if not count:
            return np.empty(0)
        energies: Array = kernels.for_device(vector.device).energies(vector, length).cpu().numpy()
        return energies

    def _layer_weights(self, vector: Tensor, start: int, count: int, length: int) -> Array:
        """Returns, for every bucket, the mean over its coordinates of 1 / ||x_layer||^2, estimated from this part."""
        sizes = np.array(self._sizes)
        stops = np.cumsum(sizes)
        first, last = np.searchsorted(stops, [start, start + len(vector) - 1], side="right")
        sizes, edges = sizes[first : last + 1], np.clip(stops[first : last + 1] - start, 0, len(vector))
        edges = np.concatenate([[0], edges])
        lengths = np.diff(edges)
        energies = np.add.reduceat(vector.double().square().cpu().numpy(), edges[:-1])
        with np.errstate(divide="ignore"):
            weights = np.where(energies > 0, lengths / (energies * sizes), 0.0)
        cumulated = np.concatenate([[0.0], np.cumsum(weights * lengths)])
        means: Array = np.diff(np.interp(np.arange(count + 1) * length, edges, cumulated)) / length
        return means

    def _blocks(self, size: int) -> tuple[int, int]:
        """(length, number) of the blocks that hold so many coordinates."""
        if 0 < size <= self.bucket_size:
            return padded(size, self.bucket_size), 1
        return self.bucket_size, -(-size // self.bucket_size)

    def _budget(self, size: int) -> int:
        """The sum of the widths of all blocks."""
        length, count = self._blocks(size)
        return min(self.widest * count, max(1, round(self.bits * size / length))) if count else 0

    def _open(self, payload: Tensor, size: int) -> tuple[int, NDArray[np.int64], Tensor]:
        """Returns the key, the widths of all blocks, and the rest of the payload, which holds blocks so wide.

        Raises:
            ValueError: it cannot.
        """
        length, count = self._blocks(size)
        stop = self._head_bytes(count)
        head = bytes(payload[:stop].tolist())
        widths = _unpack(head[KEY.size :], count)
        needed = length * _needs(self.widest)[widths].sum() + _SCALE_BITS * (_refined(widths)).sum()
        if needed > length * self._budget(size):
            raise ValueError(f"{self.name}: the payload has wider buckets than its {len(payload)} bytes can hold")
        return KEY.unpack(head[: KEY.size])[0], widths, payload[stop:]

    def _head_bytes(self, count: int) -> int:
        return KEY.size + (count + 1) // 2


def allocate(costs: Array, budget: int, widest: int = WIDEST) -> tuple[Array, NDArray[np.int64]]:
    """Probabilities of sending, and widths, that make the sum of costs times relative errors least.

    A block of cost c has the error c (r(1) + 1) / p - c if sent with probability p at one bit, and
    c r(b) at b bits. At the optimum all gains per bit are equal: p = sqrt(c (r(1) + 1) / level)
    while that is below 1, and a further bit wherever c (r(b) - r(b + 1)) reaches the level.

    Bits are whole, so some of the budget is left at the lowest level that keeps it. Blocks with the largest gains
    below the level, the first of equal ones, get a bit more; the rest of less than a bit raises probabilities, or these
    give up what is missing to a bit, whichever has the smaller error.

    Args:
        costs: (count,), not negative; NaN or Inf gives a NaN probability.
        budget: the sum over blocks of probability or width is at most this.
        widest: the largest width.
    """
    known = np.isfinite(costs)
    positive = known & (costs > 0)
    if positive.all() and len(costs):
        return _allocate(costs, budget, widest)
    chances, widths = np.where(known, 0.0, np.nan), np.ones(len(costs), np.int64)
    if positive.any():
        chances[positive], widths[positive] = _allocate(costs[positive], budget, widest)
    return chances, widths


def _allocate(costs: Array, budget: int, widest: int) -> tuple[Array, NDArray[np.int64]]:
    """``allocate`` for finite costs above zero."""
    gains = _gains(widest)
    low, high = np.log2(costs.min() * gains[-1]) - 1, np.log2(costs.max()) + 42
    level = kernels.for_device(torch.device("cpu")).water_level(costs, gains, RAREST, budget, low, high)
    widths = 1 + (costs[:, None] * gains[1:] >= level).sum(axis=1)
    chances = np.minimum(np.maximum(np.sqrt(costs * (gains[0] / level)), RAREST), 1.0)
    certain = chances >= 1
    spare = int(budget - np.where(certain, widths, chances).sum())
    ahead = np.where(certain & (widths < widest), costs * gains[np.minimum(widths, widest - 1)], 0.0)
    if certain.all():
        return chances, widths + _largest(ahead, spare)
    options = (_spend(costs, widths + _largest(ahead, count), budget) for count in (spare, spare + 1))
    best = min(options, key=lambda option: option[0])
    return best[1], best[2]


def _spend(costs: Array, widths: NDArray[np.int64], budget: int) -> tuple[float, Array, NDArray[np.int64]]:
    """Gives what the wider blocks leave of the budget to those of one bit; returns an error, chances and widths."""
    single = widths == 1
    left = budget - int(widths[~single].sum())
    if left < RAREST * np.count_nonzero(single):
        return np.inf, np.ones(len(costs)), widths
    chances = np.ones(len(costs))
    chances[single] = _odds(costs[single], left)
    return float((costs * (1 + _errors(DEEPEST)[widths - 1]) / chances).sum()), chances, widths


def _largest(values: Array, count: int) -> NDArray[np.bool_]:
    """Marks the ``count`` largest values, of equal ones the first; none that are not above zero."""
    count = min(count, int(np.count_nonzero(values)))
    if not count:
        return np.zeros(len(values), bool)
    least = np.partition(values, -count)[-count]
    chosen: NDArray[np.bool_] = values > least
    chosen[np.flatnonzero(values == least)[: count - np.count_nonzero(chosen)]] = True
    return chosen


def _odds(costs: Array, total: float) -> Array:
    """Returns the probabilities that make the sum of costs over them least, and whose sum is at most ``total``.

    They are as the square roots of the costs, as long as that is below 1 and not below ``RAREST``.
    """
    if total >= len(costs):
        return np.ones(len(costs))
    total -= RAREST * len(costs)
    roots = np.sqrt(costs)
    falling = np.sort(roots)[::-1]
    sums = np.cumsum(falling[::-1])[::-1]
    certain = np.count_nonzero(falling * (total - np.arange(len(falling))) >= sums)
    odds: Array = np.minimum(np.maximum(roots * ((total - certain) / sums[certain]), RAREST), 1.0)
    return odds


def drawn(chances: Array, key: int) -> NDArray[np.bool_]:
    """Draws the blocks that are sent, by systematic sampling: their number is the expected one, rounded."""
    below = np.where(chances < 1, chances, 0.0)
    sums = np.concatenate([[0.0], np.cumsum(below)])
    marks = np.minimum(np.floor(sums + derive(key, 3) / 2.0**64), math.ceil(sums[-1] - 1e-9))
    chosen: NDArray[np.bool_] = (np.diff(marks) > 0) | (chances >= 1)
    return chosen


@lru_cache
def _needs(widest: int) -> NDArray[np.int64]:
    """Returns the bits that every width takes in the payload; more than there can be for those that do not exist."""
    needs = np.full(16, 1 << 32)
    needs[: widest + 1] = np.arange(widest + 1)
    needs[NOT_FINITE] = 0
    return needs


@lru_cache
def _errors(widest: int) -> Array:
    """Relative errors at 1, 2, ..., ``widest`` bits."""
    single = [relative_error(width) for width in range(1, WIDEST + 1)]
    twice = [single[-1] * single[width - WIDEST - 1] for width in range(WIDEST + 1, widest + 1)]
    return np.array([*single, *twice])


@lru_cache
def _gains(widest: int) -> Array:
    """Returns the decrease of the relative error by the first bit and by every further one; none above those before."""
    errors = _errors(widest)
    gains: Array = np.minimum.accumulate(np.concatenate([[1 + errors[0]], errors[:-1] - errors[1:]]))
    return gains


class Passes(NamedTuple):
    """The widths of the buckets, and what encodes them."""

    first: NDArray[np.int64]
    """(count,) at most ``WIDEST``, or ``NOT_FINITE``."""
    body: Tensor
    refined: NDArray[np.bool_]
    """(count,) has a bucket more bits?"""
    second: NDArray[np.int64]
    """How many more, of those that have."""
    rest: Tensor
    """The rest of the payload, for them."""


def _passes(widths: NDArray[np.int64], length: int, body: Tensor) -> Passes:
    refined = _refined(widths)
    first = np.where(refined, WIDEST, widths)
    coded = first[(first > 0) & (first <= WIDEST)]
    split = int((4 + coded * (length // 8)).sum()) if refined.any() else len(body)
    return Passes(first, body[:split], refined, widths[refined] - WIDEST, body[split:])


def _refined(widths: NDArray[np.int64]) -> NDArray[np.bool_]:
    refined: NDArray[np.bool_] = (widths > WIDEST) & (widths != NOT_FINITE)
    return refined


def _rows(vector: Tensor, length: int) -> Tensor:
    """Returns the blocks as a matrix, the last filled with zeros."""
    return torch.nn.functional.pad(vector, (0, -len(vector) % length)).view(-1, length)


@lru_cache
def _layouts(length: int) -> list[Layout]:
    return [projection_layout(width, length) for width in range(1, WIDEST + 1)]


def _pack(widths: NDArray[np.int64]) -> bytes:
    even = np.append(widths, 0)[: (len(widths) + 1) // 2 * 2].astype(np.uint8)
    return (even[::2] | even[1::2] << 4).tobytes()


def _unpack(packed: bytes, count: int) -> NDArray[np.int64]:
    both = np.frombuffer(packed, np.uint8)
    return np.stack([both & 15, both >> 4], axis=1).reshape(-1)[:count].astype(np.int64)
