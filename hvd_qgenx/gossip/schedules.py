"""Graphs that change with the step: few neighbours at a time, and consensus as fast as over dense graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np

from compressors.random import derive
from hvd_qgenx.gossip.family import Family, Request, any_number
from hvd_qgenx.gossip.graphs import circulant
from hvd_qgenx.gossip.topology import Cycle, Drawn, Matrix, Topology

PAIRS = 0x7061697273
"""The word beside the seed of ``random-matching``: its numbers are no other's."""


class Edge(NamedTuple):
    """Two ranks that move towards each other by a share of their difference."""

    i: int
    j: int
    weight: float


Rounds: TypeAlias = list[list[Edge]]
"""The edges of each round."""


def one_peer_exponential(n: int) -> list[Matrix]:
    """Returns the matrices (n, n) in which i hears from i - 2^j, j = 0, 1 ... below log2 n, and takes the mean.

    A power of two has exact consensus after log2 n rounds. Source: Ying et al., Exponential graph is provably
    efficient for decentralized deep training (NeurIPS 2021), arXiv 2110.13363.
    """
    return [(np.eye(n) + circulant(n, 2**j)) / 2 for j in range((n - 1).bit_length())]


def base_k(n: int, peers: int) -> list[Matrix]:
    """Returns symmetric matrices (n, n) whose product is exact consensus, with at most ``peers`` neighbours in each.

    Any divisor p of n with factors up to ``peers`` + 1 divides the ranks into p blocks, which come to consensus
    side by side (``_split``); then cliques across the blocks do the rest (``_cliques``). The divisor with the fewest
    rounds is taken. Source of the idea: Takezawa et al., Beyond exponential graph (NeurIPS 2023).
    """
    base = peers + 1
    divisors = [p for p in range(n, 0, -1) if n % p == 0 and _factors(p, base) is not None]
    p = min(divisors, key=lambda p: len(_split(range(n // p), base)) + len(_factors(p, base) or ()))
    blocks = [range(start, start + n // p) for start in range(0, n, n // p)]
    rounds = _beside(*(_split(block, base) for block in blocks))
    rounds += _beside(*(_cliques(ranks, base) for ranks in zip(*blocks, strict=True)))
    return [_matrix(n, edges) for edges in rounds]


class RandomMatching(Drawn):
    """Pairs drawn anew at every step, a function of seed and step; both take the mean, an odd rank stays out."""

    def __init__(self, name: str, size: int, seed: int) -> None:
        self.name, self.size, self.seed = name, size, seed

    def matrix(self, step: int) -> Matrix:
        order = sorted(range(self.size), key=lambda rank: derive(self.seed, PAIRS, step, rank))
        return _matrix(self.size, (Edge(i, j, 0.5) for i, j in zip(order[::2], order[1::2], strict=False)))

    def mean_square(self) -> Matrix:
        n = self.size
        chance = 1 / (n - 1 + n % 2)  # of two ranks to be a pair
        mean = np.full((n, n), chance / 2)
        np.fill_diagonal(mean, 1 - chance * (n - 1) / 2)
        return mean  # W^T W = W: the mean of a mean changes nothing


def _split(ranks: Sequence[int], base: int) -> Rounds:
    """Returns rounds to exact consensus of any number of ranks, by the digits of that number.

    A digit a of value s makes a part of a blocks with s ranks, s a power of the base, and every part comes to
    consensus by itself. Then the largest part meets the rest, which is smaller than a block: each rank of the rest
    has an edge to a rank of its own in every block. With weight s / (a s + rest), the mean of each block becomes the
    mean of all, and so does that of the rest. The blocks come to consensus once more, while the next part meets
    what is left of the rest.
    """
    parts = list(_parts(ranks, base))
    if len(parts) == 1:
        return _cliques(ranks, base)
    first = len(_cliques(parts[0].ranks, base))
    rounds: Rounds = [[] for _ in range(first + 1 + len(_cliques(parts[0].blocks[0], base)))]
    for turn, part in enumerate(parts, first):
        _put(rounds, 0, _cliques(part.ranks, base))
        if part.rest:
            size = len(part.blocks[0])
            weight = size / (len(part.ranks) + len(part.rest))
            meet = [Edge(i, j, weight) for block in part.blocks for i, j in zip(block, part.rest, strict=False)]
            _put(rounds, turn, [meet])
            for block in part.blocks:
                _put(rounds, turn + 1, _cliques(block, base))
    return rounds


class _Part(NamedTuple):
    ranks: Sequence[int]
    blocks: list[Sequence[int]]
    """The same ranks, in blocks of a power of the base."""
    rest: Sequence[int]
    """The ranks of all smaller parts."""


def _parts(ranks: Sequence[int], base: int) -> Iterable[_Part]:
    """Yields the parts of a number of ranks, the largest first."""
    while ranks:
        size = 1
        while size * base <= len(ranks):
            size *= base
        end = len(ranks) // size * size
        yield _Part(ranks[:end], [ranks[i : i + size] for i in range(0, end, size)], ranks[end:])
        ranks = ranks[end:]


def _cliques(ranks: Sequence[int], most: int) -> Rounds:
    """Returns rounds of disjoint cliques with up to ``most`` ranks: one digit of a rank's place runs in each round."""
    factors = _factors(len(ranks), most)
    assert factors is not None
    rounds, stride = [], 1
    for factor in factors:
        edges = [
            Edge(ranks[i], ranks[i + step * stride], 1 / factor)
            for i in range(len(ranks))
            for step in range(1, factor - i // stride % factor)
        ]
        rounds.append(edges)
        stride *= factor
    return rounds


@cache
def _factors(n: int, most: int) -> tuple[int, ...] | None:
    """Returns the fewest factors of n that are at most ``most``, none for 1; None if there are none."""
    if n == 1:
        return ()
    found = None
    for factor in range(min(n, most), 1, -1):
        if n % factor == 0:
            rest = _factors(n // factor, most)
            if rest is not None and (found is None or len(rest) + 1 < len(found)):
                found = (factor, *rest)
    return found


def _beside(*schedules: Rounds) -> Rounds:
    """Returns schedules of disjoint ranks side by side."""
    return [[edge for edges in together for edge in edges] for together in zip(*schedules, strict=True)]


def _put(rounds: Rounds, start: int, more: Rounds) -> None:
    """Adds the edges of further rounds, from a round on."""
    for turn, edges in enumerate(more, start):
        rounds[turn].extend(edges)


def _matrix(n: int, edges: Iterable[Edge]) -> Matrix:
    matrix = np.eye(n)
    for i, j, weight in edges:
        matrix[i, j] = matrix[j, i] = weight
        matrix[i, i] -= weight
        matrix[j, j] -= weight
    return matrix


def _build_one_peer(request: Request) -> Topology:
    return Cycle(request.name, one_peer_exponential(request.ranks))


def _build_base_k(request: Request) -> Topology:
    return Cycle(request.name, base_k(request.ranks, request.peers))


def _build_random_matching(request: Request) -> Topology:
    return RandomMatching(request.name, request.ranks, request.seed)


ONE_PEER_EXPONENTIAL = Family("a one-peer exponential graph takes any number of ranks", any_number, _build_one_peer)
BASE_K = Family("a base-k graph takes any number of ranks", any_number, _build_base_k, takes_peers=True)
RANDOM_MATCHING = Family("a random matching takes any number of ranks", any_number, _build_random_matching)
