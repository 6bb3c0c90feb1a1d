"""Mixing weights of undirected graphs, and checks of mixing matrices.

An adjacency is a bool matrix (n, n), symmetric, with an empty diagonal. The rules give every edge a weight and leave
the rest of a rank on the diagonal, so that all rows and columns add up to 1. They return float64 (n, n).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.topology import Matrix

Adjacency: TypeAlias = NDArray[np.bool_]
Rule: TypeAlias = Callable[[Adjacency], Matrix]

TOLERANCE = 1e-6
"""How far sums of rows and columns may be from 1, as in a file with few digits."""
ROUNDING = 1e-9
"""How far they may be above 1 where the diagonal is what others leave."""


def uniform(adjacency: Adjacency) -> Matrix:
    """Returns 1 / (1 + largest degree) on every edge: 1/3 on a ring, 1/5 on a torus."""
    return with_diagonal(adjacency / (1.0 + adjacency.sum(1).max()))


def max_degree(adjacency: Adjacency) -> Matrix:
    """Returns 1 / max(degree i, degree j) on every edge (Koloskova et al., ICLR 2020).

    The diagonal is never negative, but empty on a regular graph.
    """
    return with_diagonal(adjacency / np.maximum(_larger_degrees(adjacency), 1))


def metropolis(adjacency: Adjacency) -> Matrix:
    """Returns 1 / (1 + max(degree i, degree j)) on every edge (Xiao, Boyd and Kim, 2007); all ranks keep a share."""
    return with_diagonal(adjacency / (1.0 + _larger_degrees(adjacency)))


def with_diagonal(edges: Matrix) -> Matrix:
    """Returns the matrix with these weights beside the diagonal, and what rows lack of 1 on it.

    A rest that is less than ``ROUNDING`` below 0 is 0.
    """
    matrix = np.array(edges, dtype=np.float64)
    np.fill_diagonal(matrix, 0.0)
    rest = 1.0 - matrix.sum(1)
    np.fill_diagonal(matrix, np.where((rest < 0) & (rest >= -ROUNDING), 0.0, rest))
    return matrix


def mix(name: str, adjacency: Adjacency, rule: Rule) -> Matrix:
    """Returns the mixing matrix of a graph under a rule.

    Args:
        name: of the graph, for messages.
        adjacency: (n, n).
        rule: one of this module's.

    Raises:
        ConfigurationError: the two sides of a bipartite graph would swap their values and never agree.
    """
    matrix = rule(adjacency)
    if np.linalg.eigvalsh(matrix)[0] < -1 + ROUNDING:
        raise ConfigurationError(
            f"under these weights the two sides of {name} swap their values and never agree; "
            "choose weights that leave every rank a share of its own, like uniform or metropolis"
        )
    return matrix


def check_mixing(name: str, matrix: Matrix) -> None:
    """Checks that a matrix (n, n) is doubly stochastic and that mixing with it again and again ends in consensus.

    Raises:
        ConfigurationError: it is not; the sentence names the first rank concerned.
    """
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise ConfigurationError(f"{name}: the weight of ranks {row} and {column} is not finite")
    if (matrix < 0).any():
        row, column = np.argwhere(matrix < 0)[0]
        raise ConfigurationError(
            f"{name}: the weight of ranks {row} and {column} is {matrix[row, column]:.6g}; no weight may be negative"
        )
    for axis, line in ((1, "row"), (0, "column")):
        sums = matrix.sum(axis)
        if (wrong := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)).size:
            raise ConfigurationError(
                f"{name}: {line} {wrong[0]} of the weights adds up to {sums[wrong[0]]:.7g}, but must add up to 1"
            )
    if not connected(matrix > 0):
        raise ConfigurationError(f"{name} is not connected: {_apart(matrix)}; add edges between them")
    if not _primitive(matrix > 0):
        raise ConfigurationError(f"{name}: ranks swap values and never agree; leave them a share on the diagonal")


def connected(pattern: Adjacency) -> bool:
    """Tells whether every rank is reached from every other along entries (n, n), in either direction."""
    return bool(_reached(pattern).all())


def _apart(matrix: Matrix) -> str:
    others = np.flatnonzero(~_reached(matrix > 0)[0])
    return f"no path leads from rank 0 to {'rank' if len(others) == 1 else 'ranks'} {_listed(others)}"


def _listed(ranks: NDArray[np.intp]) -> str:
    shown = ", ".join(str(rank) for rank in ranks[:5])
    return shown if len(ranks) <= 5 else f"{shown} and {len(ranks) - 5} more"


def _reached(pattern: Adjacency) -> Adjacency:
    """Returns which ranks (n, n) are in one component."""
    reached: Adjacency = pattern | pattern.T | np.eye(len(pattern), dtype=np.bool_)
    for _ in range(len(pattern).bit_length()):
        reached = _product(reached, reached)
    return reached


def _primitive(pattern: Adjacency) -> bool:
    """Tells whether some power of a matrix with these entries is positive everywhere.

    If one is, all powers from (n - 1)^2 + 1 on are (Wielandt, 1950).
    """
    for _ in range(((len(pattern) - 1) ** 2).bit_length() + 1):
        pattern = _product(pattern, pattern)
    return bool(pattern.all())


def _product(left: Adjacency, right: Adjacency) -> Adjacency:
    product: Adjacency = left.astype(np.float32) @ right.astype(np.float32) > 0.5
    return product


def _larger_degrees(adjacency: Adjacency) -> NDArray[np.int64]:
    degrees = adjacency.sum(1)
    larger: NDArray[np.int64] = np.maximum.outer(degrees, degrees)
    return larger
