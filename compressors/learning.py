"""Compressors that learn what all ranks see."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Statistics = NDArray[np.float64]


class Lesson(NamedTuple):
    """What was learned from one look at the gradients; equal on all ranks."""

    version: int
    """Counts the lessons; 0 before the first."""
    levels: tuple[float, ...]
    """Magnitudes in [0, 1], exact in float32."""
    old_variance: float
    """Expected squared error of the levels before, in units of the squared norm of a bucket."""
    new_variance: float

    def to_bytes(self) -> bytes:
        return np.array([self.version, self.old_variance, self.new_variance, *self.levels], np.float64).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Lesson":
        version, old_variance, new_variance, *levels = np.frombuffer(data, np.float64).tolist()
        return cls(int(version), tuple(levels), old_variance, new_variance)


class Learner(ABC):
    """What a compressor that learns adds to its interface.

    ``lesson = one_rank.study([rank.observe(vector) for every rank]); every_rank.learn(lesson)``
    """

    @property
    @abstractmethod
    def levels(self) -> tuple[float, ...]:
        """What it learns, as it is now."""

    @abstractmethod
    def observe(self, vector: Tensor) -> Statistics:
        """Statistics of this rank's flat vector: a few kB of float64, whatever its length."""

    @abstractmethod
    def study(self, statistics: Sequence[Statistics]) -> Lesson:
        """What follows from the statistics of all ranks. Changes nothing yet: one rank may study for all."""

    @abstractmethod
    def learn(self, lesson: Lesson) -> None:
        """Takes the lesson; payloads made from now on carry its version."""
