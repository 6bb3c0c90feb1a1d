"""How the vectors of all workers become their mean."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from hvd_qgenx.tasks.logistic.workers import Workers


@dataclass(frozen=True)
class Iteration:
    """Facts that every worker knows before it sends."""

    number: int
    """k, from 0."""
    lr: float
    """Step size of this iteration."""
    last_step: Tensor
    """x_k - x_{k-1}, (d,); 0 at k = 0."""


class Averaged(NamedTuple):
    """The outcome of an averaging."""

    mean: Tensor
    """(d,), the same on all ranks: the mean of ``sent`` over all workers."""
    sent: Tensor
    """Every own worker's vector as the others receive it, decompressed, (own workers, d)."""
    bytes_sent: int
    """Bytes that one worker sends, were each worker a rank."""
    largest_integer: int = 0
    """Largest absolute integer that a worker sends; 0 where none are sent."""
    largest_sum: int = 0
    """Largest absolute sum, over workers, of their integers."""


class Averaging(ABC):
    """Turns the workers' vectors into their mean; one object serves one run, and may keep state."""

    def __init__(self, workers: Workers, dimension: int, seed: int) -> None:
        """
        Args:
            workers: all workers, and those of this rank.
            dimension: length of a vector, d.
            seed: decides random numbers, with the worker and the number of the iteration.
        """
        self.workers, self.dimension, self.seed = workers, dimension, seed

    @abstractmethod
    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        """Returns the mean over all workers. Collective.

        Args:
            vectors: those of the own workers, in their order, float64 (len(workers.own), d).
            iteration: the number, step size and last step of this iteration.
        """


class Exact(Averaging):
    """The mean of float64 vectors, summed in the order of workers."""

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        total = self.workers.sum(vectors)
        return Averaged(total / self.workers.count, vectors, self.workers.ring_bytes(total.nbytes))
