"""Averagings that round vectors at random, without bias."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.tasks.logistic.averaging import Averaged, Averaging, Exact, Iteration

EPSILON = 2.0**-52
"""Keeps the adaptive scale finite when a step has length 0."""
LARGEST = 2.0**8
"""Largest integer of the heuristic scale."""
TINY = 1e-300
"""Keeps the heuristic scale finite when all vectors are 0."""

NATURAL_VARIANCE = 1 / 8
"""omega: natural compression adds a variance of at most omega |v|^2."""


class Rounding(Averaging):
    """Rounds with random numbers that are functions of (seed, worker, iteration, coordinate)."""

    def uniform(self, iteration: Iteration) -> Tensor:
        """Returns numbers from [0, 1), (own workers, d)."""
        words = self.seed, RandomStream.ROUNDING
        generators = [generator(*words, worker, iteration.number) for worker in self.workers.own]
        return torch.stack([torch.rand(self.dimension, generator=each, dtype=torch.float64) for each in generators])


class Integers(Rounding):
    """The mean of integers: each vector times a scale that all workers share, rounded up or down at random."""

    @abstractmethod
    def scale(self, vectors: Tensor, iteration: Iteration) -> float:
        """Returns the scale of this iteration. Collective."""

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        scale = self.scale(vectors, iteration)
        # Integers as float64: they are exact up to 2^53, and beyond that the scaled vectors are integers themselves.
        integers = torch.floor(scale * vectors + self.uniform(iteration))
        total = self.workers.sum(integers)
        largest, largest_sum = int(self.workers.largest(integers)), int(total.abs().max())
        bits = width(largest) + width(largest_sum)
        bytes_sent = (self.workers.count - 1) * self.dimension * bits // (8 * self.workers.count)
        mean = total / (self.workers.count * scale)
        return Averaged(mean, integers / scale, bytes_sent, largest, largest_sum)


class Adaptive(Integers):
    """IntSGD: the scale comes from the last step, which all workers know; the first vectors are exact.

    alpha_k = lr sqrt(d) / (sqrt(2 n) |x_k - x_{k-1}|) (Mishchenko et al., "IntSGD", 2021).
    """

    def scale(self, vectors: Tensor, iteration: Iteration) -> float:
        length = float(torch.linalg.vector_norm(iteration.last_step))
        return iteration.lr * math.sqrt(self.dimension) / (math.sqrt(2 * self.workers.count) * length + EPSILON)

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        if iteration.number == 0:
            return Exact(self.workers, self.dimension, self.seed).mean(vectors, iteration)
        return super().mean(vectors, iteration)


class Heuristic(Integers):
    """Scales so that the largest magnitude in any worker's vector becomes 2^8, which costs one float to agree on."""

    def scale(self, vectors: Tensor, iteration: Iteration) -> float:
        return LARGEST / max(self.workers.largest(vectors), TINY)

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        averaged = super().mean(vectors, iteration)
        return averaged._replace(bytes_sent=averaged.bytes_sent + self.workers.ring_bytes(vectors.itemsize))


class Natural(Rounding):
    """Rounds magnitudes at random to a power of two beside them, which 9 bits hold; the first vectors are exact.

    Every worker receives the others' (Horvath et al., "Natural compression for distributed deep learning", 2019).
    """

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        if iteration.number == 0:
            return Exact(self.workers, self.dimension, self.seed).mean(vectors, iteration)
        mantissas, exponents = torch.frexp(vectors.abs())
        upper = (self.uniform(iteration) < 2 * mantissas - 1).int()
        # Magnitudes below 2^-126 count as 0: a sign and 8 bits have no place for their exponents.
        signs = torch.where(exponents > -126, vectors.sign(), 0)
        sent = torch.ldexp(signs, exponents - 1 + upper)
        bytes_sent = (self.workers.count - 1) * math.ceil(9 * self.dimension / 8)
        return Averaged(self.workers.sum(sent) / self.workers.count, sent, bytes_sent)


def width(largest: int) -> int:
    """Returns the bits of a two's complement integer that holds all magnitudes up to the largest.

    >>> [width(largest) for largest in (0, 1, 3, 4)]
    [1, 2, 3, 4]
    """
    return largest.bit_length() + 1
