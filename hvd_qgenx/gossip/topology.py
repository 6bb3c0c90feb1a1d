"""Which ranks hear from which at a step, and with what weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Links:
    """The neighbours of one rank at a step, with their weights."""

    own: float
    """Weight of its own vector."""
    heard: Mapping[int, float]
    """Weights of the vectors that it hears, by sender, in order of ranks; they and ``own`` add up to 1."""
    told: Sequence[int]
    """The ranks that hear from it, in order."""


class Topology(ABC):
    """The mixing matrices of a number of ranks.

    Entry (i, j) of ``matrix(step)`` is the weight with which rank i takes what rank j sends; rows and columns add up
    to 1, so that mixing keeps the mean. Ranks are numbered from 0.
    """

    name: str
    size: int
    """Number of ranks, n."""
    period: int | None
    """The matrix of step t is that of step t + period; 1: it never changes; None: it never comes again."""

    @abstractmethod
    def matrix(self, step: int) -> Matrix:
        """Returns the mixing matrix of a step, float64 (n, n); not to be changed."""

    def phase(self, step: int) -> int:
        """Returns the place of a step in the period; the step itself if there is none."""
        return step if self.period is None else step % self.period

    def links(self, rank: int, step: int) -> Links:
        """Returns what a rank sends and hears at a step."""
        matrix = self.matrix(step)
        heard = {int(j): float(matrix[rank, j]) for j in np.flatnonzero(matrix[rank]) if j != rank}
        told = [int(i) for i in np.flatnonzero(matrix[:, rank]) if i != rank]
        return Links(float(matrix[rank, rank]), heard, told)


class Cycle(Topology):
    """Matrices that follow one another, again and again; with a single one, a graph that never changes."""

    def __init__(self, name: str, matrices: Sequence[Matrix]) -> None:
        """
        Args:
            name: of the topology.
            matrices: doubly stochastic, all (n, n).
        """
        self.name, self.size, self.period = name, len(matrices[0]), len(matrices)
        self._matrices = tuple(np.asarray(matrix, dtype=np.float64) for matrix in matrices)

    def matrix(self, step: int) -> Matrix:
        return self._matrices[step % len(self._matrices)]


class Drawn(Topology):
    """Matrices drawn at every step, independently and from one distribution, so that there is no period."""

    period = None

    @abstractmethod
    def mean_square(self) -> Matrix:
        """Returns the expectation of W^T W, float64 (n, n).

        A step multiplies the expected squared distance to consensus by its second largest eigenvalue, at most.
        """
