"""A width of its own for every bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.allocation import DEEPEST, WIDEST, Array, allocate, drawn, errors
from compressors.base import Compressor, Shape, byte_tensor, numel
from compressors.deferred import Deferred
from compressors.dither import KEY
from compressors.kernels.blocks import padded
from compressors.parameters import parameter
from compressors.passes import NOT_FINITE, layouts, needs, pack_widths, refined, split, unpack_widths
from compressors.random import derive
from compressors.registry import register
from compressors.rotated import LENGTHS, RESIDUAL_BIAS
from compressors.short_scales import LONG, SHORT, VARIANCE, body_bytes, lengthen, long_scales, shorten

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np, torch = Deferred("numpy"), Deferred("torch")


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

    With ``scale_bits`` 16 a scale has 8 bits of mantissa, rounded at random, which adds less than 2^-18 to a bucket's
    relative error: of buckets of 256 that saves a 16th of a bit for each coordinate.

    Payload: the random key (8 bytes); the widths, two in a byte; then for every width from 1 to 8 the buckets that have
    it, as in ``Rotated`` or with short scales; then the same for what is left of buckets of more than 8 bits; then
    zeros up to the fixed size. The last bucket is filled with zeros to the length of the others.
    """

    shares_bits = True
    residual_bias = RESIDUAL_BIAS

    bits: float = parameter(3.0, "Bits per coordinate on average; may be a fraction.", low=0.25, high=8.0)
    bucket_size: int = parameter(1024, "Coordinates that share one width.", choices=LENGTHS)
    widest: int = parameter(WIDEST, "The most bits that a bucket may have.", choices=(WIDEST, DEEPEST))
    scale_bits: int = parameter(8 * LONG, "Bits of a bucket's scale.", choices=(8 * LONG, 8 * SHORT))
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
        payload[:stop] = byte_tensor(KEY.pack(key) + pack_widths(widths))
        passes = split(widths, length, payload[stop:], self._scale_bytes)
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
        passes = split(widths, length, body, self._scale_bytes)
        if not passes.refined.any():
            kernel, chosen = kernels.for_device(device), torch.from_numpy(passes.first).to(device)
            whole = self._with_long_scales(passes.body, passes.first, length)
            kernels.deliver(
                lambda target, add: kernel.decode_variable(whole, layouts(length), chosen, target, key, add),
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
        if (widths == NOT_FINITE).any():
            return False
        passes = split(widths, length, body, self._scale_bytes)
        parts = (passes.first, passes.body), (passes.second, passes.rest)
        return all(kernels.moderate(long_scales(part, chosen, length, self._scale_bytes)) for chosen, part in parts)

    def _encode(
        self, vector: Tensor, widths: NDArray[np.int64], factors: Array, key: int, length: int, body: Tensor
    ) -> None:
        device, short = vector.device, self._scale_bytes == SHORT
        whole = body.new_empty(body_bytes(widths, length, LONG)) if short else body
        kernels.for_device(device).encode_variable(
            vector,
            layouts(length),
            torch.from_numpy(widths).to(device),
            torch.from_numpy(factors).to(device),
            key,
            whole,
        )
        if short:
            shorten(whole, widths, length, derive(key, 5), body)

    def _decode(self, body: Tensor, widths: NDArray[np.int64], key: int, length: int, device: torch.device) -> Tensor:
        """Returns what a pass holds, as a new float32 matrix with a row for every bucket."""
        values = torch.empty(len(widths) * length, dtype=torch.float32, device=device)
        chosen, whole = torch.from_numpy(widths).to(device), self._with_long_scales(body, widths, length)
        kernels.for_device(device).decode_variable(whole, layouts(length), chosen, values, key)
        return values.view(-1, length)

    def _with_long_scales(self, body: Tensor, widths: NDArray[np.int64], length: int) -> Tensor:
        return lengthen(body, widths, length) if self._scale_bytes == SHORT else body

    @property
    def _scale_bytes(self) -> int:
        return self.scale_bits // 8

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        length, count = self._blocks(numel(shape))
        return self._head_bytes(count) + self._scale_bytes * count + self._budget(numel(shape)) * length // 8

    def variance_bound(self, tensor: Tensor) -> float:
        """The sum over buckets of its fraction of their energy, and 5 % as in ``Rotated``."""
        vector = tensor.detach().float().flatten()
        chances, widths = self._allocate(vector, 0)
        fractions = errors(self.widest, VARIANCE if self._scale_bytes == SHORT else 0.0)[widths - 1]
        chances = np.where(chances > 0, chances, 1.0)
        return 1.05 * float(self._energies(vector) @ ((1 + fractions) / chances - 1))

    def _allocate(self, vector: Tensor, start: int) -> tuple[Array, NDArray[np.int64]]:
        """Probabilities and widths of all buckets, which leave room for the second scales of the widest."""
        length, _ = self._blocks(len(vector))
        costs, budget, reserved = self._costs(vector, start), self._budget(len(vector)), 0
        while True:
            chances, widths = allocate(costs, budget - reserved, self.widest)
            needed = -(-self.scale_bits * int((widths > WIDEST).sum()) // length) if len(vector) else 0
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
        head = payload[:stop].cpu().numpy().tobytes()
        widths = unpack_widths(head[KEY.size :], count)
        needed = length * needs(self.widest)[widths].sum() + self.scale_bits * (refined(widths)).sum()
        if needed > length * self._budget(size):
            raise ValueError(f"{self.name}: the payload has wider buckets than its {len(payload)} bytes can hold")
        return KEY.unpack(head[: KEY.size])[0], widths, payload[stop:]

    def _head_bytes(self, count: int) -> int:
        return KEY.size + (count + 1) // 2


def _rows(vector: Tensor, length: int) -> Tensor:
    """Returns the blocks as a matrix, the last filled with zeros."""
    return torch.nn.functional.pad(vector, (0, -len(vector) % length)).view(-1, length)
