"""Compressors whose payloads hold integers that an exchange adds, exactly."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from compressors import kernels
from compressors.base import Compressor, Shape, checked, numel
from compressors.coding.frame import Symbols
from compressors.deferred import Deferred
from compressors.identity import Identity
from compressors.kernels.layout import Layout, packed_bytes
from compressors.parameters import parameter
from compressors.rounding import CORRELATED, ROUNDINGS, GridRounding, rounding_parameter

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from compressors.kernels import integers
else:
    np, torch = Deferred("numpy"), Deferred("torch")
    integers = Deferred("compressors.kernels.integers")

WIDTHS = (2, 3, 4, 5, 6, 7, 8, 16, 32)
"""Bits of an integer on its way out."""

_NOT_FINITE = 255
"""First byte of a sum to which a rank gave Inf or NaN; else it is the width of the sum's integers, or 0 for zeros."""


@dataclass
class IntegerCounts:
    """Facts about the integers of this rank, over some exchanges."""

    coordinates: int = 0
    """Coordinates rounded to integers."""
    clipped: int = 0
    """Coordinates that were beyond the largest integer that can be sent."""
    largest: int = 0
    """Largest magnitude that was sent."""
    largest_sum: int = 0
    """Largest magnitude of a sum over ranks, among those that this rank added."""

    def add(self, other: IntegerCounts) -> None:
        """Adds the counts of another vector, in place."""
        self.coordinates += other.coordinates
        self.clipped += other.clipped
        self.largest = max(self.largest, other.largest)
        self.largest_sum = max(self.largest_sum, other.largest_sum)


class Sum(NamedTuple):
    """The exact sum of the payloads of some ranks."""

    integers: Tensor
    """1-D int32."""
    finite: bool
    """False if one of the ranks had Inf or NaN."""

    def add(self, other: Sum) -> Sum:
        """Adds the sum of other ranks, in place."""
        self.integers.add_(other.integers)
        return Sum(self.integers, self.finite and other.finite)


@dataclass(eq=False)
class SummedCompressor(Compressor):
    """The interface of compressors whose payloads an exchange adds as integers."""

    reduction = "sum"

    measures: ClassVar[bool] = False
    """Must ranks compare their vectors before they can encode them? Then ``measure`` and ``agree`` come first."""

    @property
    def integers(self) -> IntegerCompressor | None:
        """The compressor that makes the integers, if they have a scale."""
        return None

    @property
    def ready(self) -> bool:
        """Can payloads be added? If not they hold the coordinates as they are."""
        return True

    def measure(self, vector: Tensor) -> Tensor:
        """Returns what other ranks must know of a vector (uint8, of one length on all ranks)."""
        raise NotImplementedError

    def agree(self, everyone: Sequence[Tensor]) -> None:
        """Takes what ``measure`` has returned on every rank."""
        raise NotImplementedError

    @abstractmethod
    def sum_of(self, payloads: Iterable[Tensor], numel: int) -> Sum:
        """Returns the sum of payloads of ``numel`` coordinates.

        Raises:
            ValueError: a payload is not one of such a vector.
        """

    @abstractmethod
    def write_sum(self, total: Sum) -> Tensor:
        """Returns a message (uint8, its length varies) with all that ranks must know of the sum of all payloads."""

    def add_up(self, payloads: Iterable[Tensor], numel: int) -> Tensor:
        """Returns the message of the sum of payloads; raises as ``sum_of``."""
        return self.write_sum(self.sum_of(payloads, numel))

    @abstractmethod
    def decode_mean(self, message: Tensor, vector: Tensor, start: int = 0) -> bool:
        """Writes the mean over ranks of coordinates whose sum is in a message; returns False if it is NaN.

        Raises:
            ValueError: ``message`` is not such a sum.
        """


@dataclass(eq=False)
class IntegerCompressor(GridRounding, SummedCompressor):
    """Rounds the products of coordinates with a scale, which all ranks know, to integers of ``bits`` bits.

    The sum over ranks of integers is exact, and has the same bits whatever the order of additions; over the number of
    ranks and the scale it is the mean. Integers are clipped, symmetrically, so that no sum needs more than 32 bits.
    As long as there is no scale, payloads hold the coordinates as they are.

    Payload: the integers, packed, with nothing beside them. Sum: its width as a byte, then its integers, packed, at the
    least width that holds it.
    """

    bits: int = parameter(8, "Bits per coordinate.", choices=WIDTHS)
    rounding: str = rounding_parameter(CORRELATED, (*ROUNDINGS, "nearest"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.scales: tuple[float, ...] | None = None
        """The scale of the whole vector, or those of its tensors, exact in float32; None: there is none yet."""
        self.counts = IntegerCounts()
        """Facts about all exchanges since the caller last assigned new counts."""
        self._uncompressed = Identity()
        self._stops: list[int] = []

    @property
    def integers(self) -> IntegerCompressor:
        return self

    @property
    def ready(self) -> bool:
        return self.scales is not None

    @property
    def width(self) -> int:
        """Bits of an integer on its way out."""
        return self.bits

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Are coordinates rounded at random, rather than to the nearest integer?"""
        return self.rounding != "nearest"

    @property
    def most(self) -> int:
        """The largest magnitude of an integer, exact in float32."""
        most = min((1 << self.width - 1) - 1, ((1 << 31) - 1) // self.ranks)
        spare = max(0, most.bit_length() - 24)
        return most >> spare << spare

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return self.stochastic

    @property
    def alignment(self) -> int:
        return integers.BLOCK

    def lay_out(self, shapes: Sequence[Shape]) -> None:
        self._stops = list(accumulate(map(numel, shapes)))
        if self.scales is not None and len(self.scales) not in (1, len(shapes)):
            self.scales = None

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        if self.scales is None:
            return self._uncompressed.payload_bytes(shape, dtype)
        return packed_bytes(self.width, integers.BLOCK, numel(shape))

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        if self.scales is None:
            return self._uncompressed.write(vector, payload, key, start)
        vector, scale = kernels.readable(vector), self.scales[0]
        if len(self.scales) > 1:
            vector, scale = self._multiply(vector.float(), start, self.scales), 1.0
        rounding = key if self.stochastic else None
        kernel = kernels.for_device(vector.device)
        rounded = kernel.encode_integers(vector, scale, self.width, self.most, rounding, payload, self.strata(shared))
        self.counts.add(IntegerCounts(len(vector), rounded.clipped, rounded.largest))
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        if self.scales is None:
            self._uncompressed.read(payload, vector, add)
        else:
            self._deliver(payload, self.width, self.most, 1, vector, add, start)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        if self.scales is None:
            return self._uncompressed.inspect(payload, numel)
        return integers.hold_numbers(payload, self.width, self.most, numel)

    def sum_of(self, payloads: Iterable[Tensor], numel: int) -> Sum:
        sums, finite = None, True
        for payload in payloads:
            self._check_size(payload, self.payload_bytes(numel), numel)
            if sums is None:
                sums = torch.zeros(numel, dtype=torch.int32, device=payload.device)
            finite &= kernels.for_device(payload.device).add_integers(payload, self.width, self.most, sums)
        assert sums is not None
        return Sum(sums, finite)

    def write_sum(self, total: Sum) -> Tensor:
        sums, finite = total
        if not finite:
            return sums.new_full((1,), _NOT_FINITE, dtype=torch.uint8)
        low, high = (int(end) for end in torch.aminmax(sums)) if len(sums) else (0, 0)
        largest = max(-low, high)
        self.counts.add(IntegerCounts(largest_sum=largest))
        width = largest.bit_length() + 1 if largest else 0
        message = sums.new_empty(1 + packed_bytes(width, integers.BLOCK, len(sums)), dtype=torch.uint8)
        message[0] = width
        if width:
            kernels.for_device(sums.device).pack_integers(sums, width, _offset(width), message[1:])
        return message

    def read_sum(self, message: Tensor, numel: int) -> Sum:
        """Returns the sum of ``numel`` coordinates in a message, so that more can be added.

        Raises:
            ValueError: ``message`` is not such a sum.
        """
        sums = torch.zeros(numel, dtype=torch.int32, device=message.device)
        width = self._check_sum(message, numel)
        if width and width != _NOT_FINITE:
            kernels.for_device(sums.device).add_integers(message[1:], width, _offset(width), sums)
        return Sum(sums, width != _NOT_FINITE)

    def decode_mean(self, message: Tensor, vector: Tensor, start: int = 0) -> bool:
        vector, message = checked(vector, message)
        width = self._check_sum(message, len(vector))
        if width == _NOT_FINITE:
            vector.fill_(torch.nan)
            return False
        if width:
            self._deliver(message[1:], width, _offset(width), self.ranks, vector, False, start)
        else:
            vector.zero_()
        return True

    def symbols(self, numel: int) -> Symbols:
        """Returns the parts of the payload of ``numel`` coordinates, for an entropy code."""
        layout = Layout(self.width, integers.BLOCK, 2 * self.most + 1, self.most, norm="none")
        return Symbols(layout, 2 * self.most + 2, self.most, 0, numel)

    def variance_bound(self, tensor: Tensor) -> float:
        """A quarter of the squared grid step for every coordinate, and what clipping takes away.

        The step is 1 / scale: a coordinate beyond the largest integer loses what it has beyond, but for one step.
        """
        if self.scales is None:
            return 0.0
        scaled = self._multiply(tensor.double().flatten(), 0, self.scales)
        beyond = (scaled.abs() - self.most).clamp(min=0)
        squares = torch.where(beyond > 0, (beyond + 1).square(), 0.25)
        inverse = [1 / scale for scale in self.scales]
        return float(self._multiply(self._multiply(squares, 0, inverse), 0, inverse).sum())

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "scales": self.scales, "counts": astuple(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.scales, self.counts = state["scales"], IntegerCounts(*state["counts"])

    def set_scales(self, scales: Sequence[float]) -> None:
        """Takes the scale of the whole vector, or those of its tensors; drops them if one is of no use.

        They are rounded to float32. Zeros, infinities and numbers near the ends of float32's range are of no use: the
        next payloads hold the coordinates as they are.
        """
        rounded = tuple(float(np.float32(scale)) if 2.0**-120 < scale < 2.0**120 else 0.0 for scale in scales)
        self.scales = rounded if all(rounded) else None

    def fit(self, vector: Tensor) -> None:
        """Sets the scale of a vector that is the mean gradient of all ranks, for measurements without exchanges."""
        self.set_scales([root_mean_square_scale(vector.numel(), self.ranks, squared_norm(vector), 0.0)])

    def _deliver(
        self, packed: Tensor, width: int, offset: int, count: int, vector: Tensor, add: bool, start: int
    ) -> None:
        """Writes integers over their scale and ``count`` to a vector, or adds them to it."""
        assert self.scales is not None
        kernel = kernels.for_device(packed.device)
        if len(self.scales) > 1:
            values = torch.empty_like(vector, dtype=torch.float32)
            kernel.decode_integers(packed, width, offset, 1.0, values)
            values = self._multiply(values, start, [_factor(scale, count) for scale in self.scales])
            vector.add_(values) if add else vector.copy_(values)
            return
        factor = _factor(self.scales[0], count)
        kernels.deliver(
            lambda target, add: kernel.decode_integers(packed, width, offset, factor, target, add), vector, add
        )

    def _multiply(self, vector: Tensor, start: int, factors: Sequence[float]) -> Tensor:
        """Returns the product of coordinates, from ``start`` on, with the factors of their tensors."""
        if len(factors) == 1:
            return vector * factors[0]
        product = torch.empty_like(vector)
        for first, last, factor in self._pieces(start, start + len(vector), factors):
            torch.mul(vector[first - start : last - start], factor, out=product[first - start : last - start])
        return product

    def _pieces(self, start: int, stop: int, factors: Sequence[float]) -> Iterator[tuple[int, int, float]]:
        """Yields the parts of tensors between ``start`` and ``stop``, with their factors."""
        if len(factors) != len(self._stops) or stop > self._stops[-1]:
            raise ValueError(f"{self.name}: scales of {len(factors)} tensors do not fit a vector that ends at {stop}")
        for first, last, factor in zip([0, *self._stops], self._stops, factors, strict=False):
            if max(first, start) < min(last, stop):
                yield max(first, start), min(last, stop), factor

    def _check_sum(self, message: Tensor, numel: int) -> int:
        """Returns the width of a sum's integers, or ``_NOT_FINITE``."""
        width = sum_width(message)
        if width != _NOT_FINITE:
            if width == 1 or width > 32:
                raise ValueError(f"{self.name}: a sum of integers of {width} bits does not exist")
            self._check_size(message, 1 + packed_bytes(width, integers.BLOCK, numel), numel)
        return width

    def _check_size(self, payload: Tensor, expected: int, size: int) -> None:
        if len(payload) != expected:
            raise ValueError(f"{self.name}: a payload of {len(payload)} bytes cannot hold {size} integers")


def sum_width(message: Tensor) -> int:
    """Returns the bits of the integers of a sum, or another byte that it begins with; 33 if it is empty."""
    return int(message[0]) if len(message) else 33


def sum_symbols(width: int, numel: int) -> Symbols:
    """Returns the parts of a sum whose integers have this width, of 2 to 8 bits, for an entropy code."""
    offset = _offset(width)
    return Symbols(Layout(width, integers.BLOCK, 2 * offset, offset, norm="none"), 2 * offset + 1, offset, 1, numel)


def _offset(width: int) -> int:
    return (1 << width - 1) - 1


def _factor(scale: float, count: int) -> float:
    """Returns the value of the sum 1 of ``count`` integers' mean, exact in float32."""
    return float(np.float32(1 / (scale * count)))


def squared_norm(vector: Tensor) -> float:
    """Returns the sum of squares of a vector (1-D, contiguous, floating-point); equal on all ranks with equal vectors.

    Sums of blocks have one order of additions on every device, and their sum is rounded once.
    """
    sums = kernels.for_device(vector.device).energies(kernels.readable(vector), integers.BLOCK)
    return math.fsum(sums.tolist())


def root_mean_square_scale(numel: int, ranks: int, square: float, floor: float) -> float:
    """Returns the scale at which vectors whose mean has this squared norm become integers of order 1.

    sqrt(d) / sqrt(2 n ||g||^2 + e^2): for n independent vectors of d coordinates their integers have a root mean square
    of 0.7, and of less the more they have in common. Infinite if norm and ``floor`` (e) are zero.

    Source: Mishchenko et al., "IntSGD" (ICLR 2022), Algorithm 1.
    """
    denominator = 2 * ranks * square + floor**2
    return math.sqrt(numel / denominator) if denominator > 0 else math.inf
