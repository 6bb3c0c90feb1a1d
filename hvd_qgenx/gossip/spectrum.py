"""How fast a topology brings ranks to consensus, and at what cost in messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hvd_qgenx.gossip.topology import Drawn, Matrix, Topology
from hvd_qgenx.gossip.weights import connected

EXACT = 1e-12
"""Largest entry of a difference that counts as rounding."""
WINDOW = 32
"""Steps that stand for a schedule without a period."""


@dataclass(frozen=True)
class Spectrum:
    """What one number of ranks has from a topology."""

    gap: float
    """Spectral gap a round, see ``spectral_gap``."""
    beta: float
    """Largest ||I - W||_2 of the steps."""
    rounds: int | None
    """Rounds to exact consensus; None if it is only approached."""
    least_degree: int
    """Fewest ranks that one rank sends to at a step."""
    mean_degree: float
    """The same, averaged over ranks and steps."""
    largest_degree: int
    directed: bool
    """Some rank hears from one that does not hear from it at the same step."""
    connected: bool
    """Over all steps."""

    @property
    def rate(self) -> float:
        """Factor of the squared distance to consensus in a round, at most: (1 - gap)^2."""
        return (1 - self.gap) ** 2


def analyse(topology: Topology) -> Spectrum:
    """Returns all measures; degrees are those of one period, or of ``WINDOW`` steps from 0 on if there is none.

    Examples:
        >>> from hvd_qgenx.gossip import make
        >>> found = analyse(make("one-peer-exponential", 8))
        >>> found.rounds, found.mean_degree, found.directed
        (3, 1.0, True)
    """
    matrices = _period(topology)
    degrees = np.array([(matrix > 0).sum(0) - (matrix.diagonal() > 0) for matrix in matrices])
    return Spectrum(
        spectral_gap(topology),
        max(float(np.linalg.norm(np.eye(topology.size) - matrix, 2)) for matrix in matrices),
        rounds_to_consensus(topology),
        int(degrees.min()),
        float(degrees.mean()),
        int(degrees.max()),
        any(((matrix > 0) != (matrix > 0).T).any() for matrix in matrices),
        connected(np.any([matrix > 0 for matrix in matrices], axis=0)),
    )


def spectral_gap(topology: Topology) -> float:
    """Returns 1 - sigma^(1/T), where sigma is the second largest singular value of the product of a period's T rounds.

    With a single symmetric matrix this is 1 - |lambda_2|; with exact consensus within a period it is 1. If matrices are
    drawn, it is 1 - sqrt(lambda_2) of the expectation of W^T W.

    Examples:
        >>> from hvd_qgenx.gossip import make
        >>> round(spectral_gap(make("ring", 8)), 3), round(spectral_gap(make("torus", 16)), 3)
        (0.195, 0.4)
    """
    if isinstance(topology, Drawn):
        product, rounds = topology.mean_square(), 2
    else:
        matrices = _period(topology)
        (*_, product), rounds = _products(matrices), len(matrices)
    sigma = float(np.linalg.norm(product - 1 / topology.size, 2))
    if sigma < EXACT:
        return 1.0
    return 0.0 if sigma > 1 - EXACT else 1 - float(sigma ** (1 / rounds))


def rounds_to_consensus(topology: Topology) -> int | None:
    """Returns after how many rounds from step 0 on all ranks have the mean, whatever they had; None if never.

    Looks at four periods and as many rounds as there are ranks beyond. A distance that falls below ``EXACT`` round by
    round, rather than in the last, is only a small one.
    """
    most = 4 * (topology.period or 1) + topology.size
    before = 1.0
    for rounds, product in enumerate(_products(topology.matrix(step) for step in range(most)), 1):
        error = float(np.abs(product - 1 / topology.size).max())
        if error < EXACT:
            return rounds if before > EXACT**0.5 else None
        before = error
    return None


def consensus_errors(topology: Topology, rounds: int, dimension: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Returns the squared distance to consensus after 0, 1 ... ``rounds`` rounds, over its start.

    Args:
        topology: any.
        rounds: of plain mixing, without compression.
        dimension: numbers that each rank starts with, independent and Gaussian.
        seed: of the start.

    Returns:
        float64 (rounds + 1,); the first is 1, or all are 0 with one rank.
    """
    values = np.random.default_rng(seed).standard_normal((topology.size, dimension))
    errors = []
    for step in range(rounds + 1):
        errors.append(float(np.square(values - values.mean(0)).sum()))
        values = topology.matrix(step) @ values
    return np.array(errors) / (errors[0] or 1.0)


def consensus_step_size(gap: float, beta: float, delta: float) -> float:
    """Returns the consensus step size with which CHOCO's convergence is proven; a tuned one is much larger.

    Source: Koloskova, Stich and Jaggi (ICML 2019), arXiv 1902.00340, Theorem 2, and Koloskova et al. (ICLR 2020),
    arXiv 1907.09356. Each round multiplies the consensus error by at most 1 - gap^2 delta / 82.

    Args:
        gap: 1 - |lambda_2| of the mixing matrix W, above 0 and at most 1.
        beta: ||I - W||_2.
        delta: quality of the compressor, E ||Q(x) - x||^2 <= (1 - delta) ||x||^2; above 0 and at most 1.
    """
    return gap**2 * delta / (16 * gap + gap**2 + 4 * beta**2 + 2 * gap * beta**2 - 8 * gap * delta)


def _period(topology: Topology) -> list[Matrix]:
    return [topology.matrix(step) for step in range(WINDOW if topology.period is None else topology.period)]


def _products(matrices: Iterable[Matrix]) -> Iterator[Matrix]:
    """Yields the products of the first, of the first two ... matrices, the latest on the left."""
    product: Matrix | None = None
    for matrix in matrices:
        product = matrix if product is None else matrix @ product
        yield product
