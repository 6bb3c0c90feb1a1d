"""Noise oracles, which a worker sees in place of the exact operator.

g(z) = A(z) + U(z) with E[U | z] = 0. Absolute noise: E||U||^2 <= sigma^2 everywhere. Relative noise:
E[||U||^2 | z] <= c ||A(z)||^2, so it dies out towards a solution.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hvd_qgenx.games.base import Operator
from hvd_qgenx.games.draws import integers, normals

TAG = 4
"""Separates these random numbers from the games' own."""


@dataclass(frozen=True)
class Noise(ABC):
    """One kind of noise; its fields are its parameters."""

    @abstractmethod
    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        """Returns ``operator`` as ``rank`` sees it; the k-th call is a function of (seed, rank, k) and the point.

        Args:
            operator: maps (d,) to (d,), float64.
            players: number of coordinates of every player.
        """


@dataclass(frozen=True)
class NoNoise(Noise):
    """The operator as it is."""

    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        return operator


@dataclass(frozen=True)
class Gaussian(Noise):
    """Independent N(0, std^2) on every coordinate."""

    std: float = 0.1

    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        draws = normals(sum(players.values()), seed, rank, TAG)
        return lambda point: operator(point).add(draws.next(), alpha=self.std)


@dataclass(frozen=True)
class Absolute(Noise):
    """N(0, sigma^2 I / d): E||U||^2 = sigma^2."""

    sigma: float = 0.5

    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        return Gaussian(self.sigma / math.sqrt(sum(players.values()))).oracle(operator, players, seed, rank)


@dataclass(frozen=True)
class Relative(Noise):
    """N(0, c ||A(z)||^2 I / d): E||U||^2 = c ||A(z)||^2."""

    c: float = 0.5

    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        draws = normals(sum(players.values()), seed, rank, TAG)
        scale = math.sqrt(self.c / sum(players.values()))

        def noisy(point: Tensor) -> Tensor:
            exact = operator(point)
            return exact.add(draws.next(), alpha=scale * float(torch.linalg.vector_norm(exact)))

        return noisy


@dataclass(frozen=True)
class RandomCoordinate(Noise):
    """d times one random coordinate of A(z), the others 0: E||U||^2 = (d - 1) ||A(z)||^2."""

    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        return _keep_one([1] * sum(players.values()), operator, seed, rank)


@dataclass(frozen=True)
class RandomPlayer(Noise):
    """P times the part of one of the P players, the others 0: E||U||^2 = (P - 1) ||A(z)||^2."""

    def oracle(self, operator: Operator, players: Mapping[str, int], seed: int, rank: int) -> Operator:
        return _keep_one(list(players.values()), operator, seed, rank)


def _keep_one(sizes: list[int], operator: Operator, seed: int, rank: int) -> Operator:
    """Keeps one of the blocks of these sizes, chosen evenly, times their number."""
    draws = integers(len(sizes), 1, seed, rank, TAG)
    ends = torch.tensor(sizes).cumsum(0).tolist()

    def noisy(point: Tensor) -> Tensor:
        exact, chosen = operator(point), int(draws.next())
        kept, block = torch.zeros_like(exact), slice(ends[chosen] - sizes[chosen], ends[chosen])
        kept[block] = len(sizes) * exact[block]
        return kept

    return noisy
