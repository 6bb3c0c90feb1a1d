"""Graphs that do not change: who is linked with whom among n ranks, and with what weights unless others are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import isqrt

import numpy as np

from hvd_qgenx.gossip.family import Family, Request, any_number
from hvd_qgenx.gossip.topology import Cycle, Matrix, Topology
from hvd_qgenx.gossip.weights import Adjacency, Rule, max_degree, mix, uniform, with_diagonal


def complete(n: int) -> Adjacency:
    """Links all with all."""
    return ~np.eye(n, dtype=np.bool_)


def ring(n: int) -> Adjacency:
    """Links i with i + 1, around."""
    return linked(n, ((i, (i + 1) % n) for i in range(n)))


def torus(n: int) -> Adjacency:
    """Links the ranks of a grid m x k with four neighbours, around; m is the largest divisor up to sqrt(n)."""
    k = n // _shorter_side(n)
    right = ((i, i // k * k + (i + 1) % k) for i in range(n))
    down = ((i, (i + k) % n) for i in range(n))
    return linked(n, (*right, *down))


def extended_ring(n: int) -> Adjacency:
    """Links a ring's ranks with those opposite, too."""
    return ring(n) | linked(n, ((i, (i + n // 2) % n) for i in range(n)))


def hypercube(n: int) -> Adjacency:
    """Links ranks whose numbers differ in one bit."""
    return linked(n, ((i, i ^ 1 << bit) for i in range(n) for bit in range(n.bit_length() - 1)))


def star(n: int) -> Adjacency:
    """Links rank 0 with all."""
    return linked(n, ((0, i) for i in range(1, n)))


def chain(n: int) -> Adjacency:
    """Links i with i + 1."""
    return linked(n, ((i, i + 1) for i in range(n - 1)))


def disconnected(n: int) -> Adjacency:
    """Links none: every rank trains alone."""
    return np.zeros((n, n), dtype=np.bool_)


def social(n: int) -> Adjacency:
    """Links the women of Davis, Gardner and Gardner (Deep South, 1941) with the events that they went to: 89 edges."""
    import networkx as nx  # type: ignore[import-untyped]  # 0.2 s

    graph = nx.davis_southern_women_graph()
    number = {node: i for i, node in enumerate(graph)}
    return linked(n, ((number[a], number[b]) for a, b in graph.edges))


def expander(n: int) -> Adjacency:
    """Links the ranks of a ring with their inverses modulo n, a prime; 0, 1 and n - 1 are their own."""
    return ring(n) | linked(n, enumerate(_inverses(n)))


def expander_matrix(n: int) -> Matrix:
    """Returns the mean (n, n) of three permutations: to both neighbours and to the inverse.

    An inverse that is a neighbour has both weights, and one that is the rank itself adds to the diagonal; so the
    matrix is symmetric and doubly stochastic for every prime.
    """
    matrix = np.zeros((n, n))
    for i, inverse in enumerate(_inverses(n)):
        for j in ((i + 1) % n, (i - 1) % n, inverse):
            matrix[i, j] += 1 / 3
    return matrix


def margulis(n: int) -> Adjacency:
    """Links the points (x, y) of a square of side m, modulo m, as Margulis, Gabber and Galil (1981) do.

    The neighbours are (x ± 2y, y), (x ± (2y + 1), y), (x, y ± 2x) and (x, y ± (2x + 1)), each once.
    """
    return _margulis_with_loops(n) & ~np.eye(n, dtype=np.bool_)


def margulis_matrix(n: int) -> Matrix:
    """Returns 1 / max(degree i, degree j) on every edge, where a point that is its own neighbour has a degree more."""
    graph = _margulis_with_loops(n)
    degrees = graph.sum(1)
    return with_diagonal(graph / np.maximum.outer(degrees, degrees))


def exponential_matrix(n: int) -> Matrix:
    """Returns the directed circulant in which i hears from i - 1, i - 2, i - 4 ... below n, all with equal weights."""
    steps = [0, *(2**j for j in range((n - 1).bit_length()))]
    return np.asarray(sum(circulant(n, step) for step in steps) / len(steps))


def circulant(n: int, step: int) -> Matrix:
    """Returns the permutation (n, n) by which i hears from i - step, around."""
    return np.roll(np.eye(n), step, axis=0)


def linked(n: int, edges: Iterable[tuple[int, int]]) -> Adjacency:
    """Returns the adjacency (n, n) of edges, in both directions, without those from a rank to itself."""
    adjacency = np.zeros((n, n), dtype=np.bool_)
    for i, j in edges:
        adjacency[i, j] = adjacency[j, i] = i != j
    return adjacency


def _margulis_with_loops(n: int) -> Adjacency:
    m = isqrt(n)
    graph = np.zeros((n, n), dtype=np.bool_)
    for x, y in np.ndindex(m, m):
        for u, v in ((x + 2 * y, y), (x + 2 * y + 1, y), (x, y + 2 * x), (x, y + 2 * x + 1)):
            graph[x * m + y, u % m * m + v % m] = True
    return graph | graph.T


def _inverses(prime: int) -> list[int]:
    return [0, *(pow(i, -1, prime) for i in range(1, prime))]


def _shorter_side(n: int) -> int:
    return max(m for m in range(1, isqrt(n) + 1) if n % m == 0)


def _is_torus(n: int) -> bool:
    return _shorter_side(n) >= 3


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % divisor for divisor in range(2, isqrt(n) + 1))


def _is_square(n: int) -> bool:
    return isqrt(n) ** 2 == n


def _is_power_of_two(n: int) -> bool:
    return n & (n - 1) == 0


def _is_social(n: int) -> bool:
    return n == 32  # 18 women and 14 events


def _is_even(n: int) -> bool:
    return n % 2 == 0


def _build(
    request: Request, adjacency: Callable[[int], Adjacency], rule: Rule, matrix: Callable[[int], Matrix] | None
) -> Topology:
    if request.rule is None and matrix is not None:
        return Cycle(request.name, [matrix(request.ranks)])
    return Cycle(request.name, [mix(request.name, adjacency(request.ranks), request.rule or rule)])


def _graph(
    needs: str,
    accepts: Callable[[int], bool],
    adjacency: Callable[[int], Adjacency],
    rule: Rule = uniform,
    matrix: Callable[[int], Matrix] | None = None,
) -> Family:
    """Returns the family of an undirected graph; its own weights are those of ``matrix``, or else of ``rule``."""
    build = partial(_build, adjacency=adjacency, rule=rule, matrix=matrix)
    return Family(needs, accepts, build, weighted=True)


def _build_exponential(request: Request) -> Topology:
    return Cycle(request.name, [exponential_matrix(request.ranks)])


COMPLETE = _graph("a complete graph takes any number of ranks", any_number, complete)
RING = _graph("a ring takes any number of ranks", any_number, ring)
TORUS = _graph("a torus needs a number of ranks with two factors from 3 on", _is_torus, torus)
EXPANDER = _graph("an expander needs a prime number of ranks", _is_prime, expander, matrix=expander_matrix)
MARGULIS = _graph("a margulis graph needs a square number of ranks", _is_square, margulis, matrix=margulis_matrix)
SOCIAL = _graph("the social graph needs exactly 32 ranks", _is_social, social, max_degree)
EXTENDED_RING = _graph("an extended ring needs an even number of ranks", _is_even, extended_ring)
HYPERCUBE = _graph("a hypercube needs a power of two as the number of ranks", _is_power_of_two, hypercube)
STAR = _graph("a star takes any number of ranks", any_number, star)
CHAIN = _graph("a chain takes any number of ranks", any_number, chain)
DISCONNECTED = _graph("without edges there is any number of ranks", any_number, disconnected)
EXPONENTIAL = Family("an exponential graph takes any number of ranks", any_number, _build_exponential)
