"""Compressors whose levels are fitted to the gradients of all ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from compressors.deferred import Deferred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = Deferred("numpy")

Statistics: TypeAlias = "NDArray[np.float64]"


class LevelUpdate(NamedTuple):
    """New levels, fitted to the gradients of all ranks; equal on all ranks."""

    version: int
    """Counts the updates; 0 before the first."""
    levels: tuple[float, ...]
    """Magnitudes in [0, 1], exact in float32."""
    old_variance: float
    """Expected squared error of the previous levels, in units of the squared norm of a bucket."""
    new_variance: float

    @property
    def bits(self) -> int:
        """Bits of a coordinate: b for 2^(b - 1) magnitudes."""
        return len(self.levels).bit_length()

    def to_bytes(self) -> bytes:
        """Returns the update as ranks send it: float64 numbers."""
        return np.array([self.version, self.old_variance, self.new_variance, *self.levels], np.float64).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> list[LevelUpdate]:
        """Reads what ``to_bytes`` has written, of any number of updates end to end: levels end with the first 1."""
        numbers, found = np.frombuffer(data, np.float64).tolist(), []
        while numbers:
            version, old_variance, new_variance, *rest = numbers
            count = rest.index(1.0) + 1
            found.append(cls(int(version), tuple(rest[:count]), old_variance, new_variance))
            numbers = rest[count:]
        return found


class Learner(ABC):
    """The interface of a compressor with fitted levels, beside ``Compressor``.

    ``update = one_rank.fit([rank.observe(vector) for every rank]); every_rank.apply(update)``
    """

    @property
    @abstractmethod
    def levels(self) -> tuple[float, ...]:
        """The current levels."""

    @abstractmethod
    def observe(self, vector: Tensor) -> Statistics:
        """Statistics of this rank's flat vector: a few kB of float64, whatever its length."""

    @abstractmethod
    def fit(self, statistics: Sequence[Statistics]) -> LevelUpdate:
        """Returns the update that fits the statistics of all ranks. Changes nothing: one rank may fit for all."""

    @abstractmethod
    def apply(self, update: LevelUpdate) -> None:
        """Takes the new levels; further payloads carry their version."""
