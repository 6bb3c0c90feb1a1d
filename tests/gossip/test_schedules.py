"""Schedules: exact consensus, few rounds, few neighbours."""

import numpy as np
import pytest

from hvd_qgenx.gossip.registry import make
from hvd_qgenx.gossip.spectrum import analyse, rounds_to_consensus

SIZES = (3, 5, 6, 8, 12, 16, 17, 25, 32, 64)
ROUNDS = {1: (3, 5, 4, 3, 5, 4, 9, 9, 5, 6), 2: (1, 3, 2, 3, 3, 4, 5, 6, 5, 6), 4: (1, 1, 2, 2, 2, 2, 4, 2, 3, 3)}
"""Rounds of Base-(k+1) graphs to exact consensus, by k."""


@pytest.mark.parametrize("peers", [1, 2, 3, 4])
def test_base_k_is_exact_after_a_period(peers):
    for n in range(1, 65):
        topology = make("base-k", n, peers=peers)
        product = np.eye(n)
        for step in range(topology.period):
            matrix = topology.matrix(step)
            assert (matrix == matrix.T).all()
            assert matrix.min() >= 0
            assert ((matrix > 0) & ~np.eye(n, dtype=bool)).sum(1).max() <= peers
            product = matrix @ product
        assert np.abs(product - 1 / n).max() < 1e-12
        assert topology.period <= 2 * np.log(n) / np.log(peers + 1) + 2  # the bound of Takezawa et al.


@pytest.mark.parametrize("peers", ROUNDS)
def test_base_k_needs_no_more_rounds_than_published(peers):
    found = tuple(rounds_to_consensus(make("base-k", n, peers=peers)) for n in SIZES)
    assert found == ROUNDS[peers]


def test_one_peer_exponential():
    for n in range(2, 65):
        topology = make("one-peer-exponential", n)
        tau = (n - 1).bit_length()
        assert topology.period == tau
        assert rounds_to_consensus(topology) == (tau if n == 2**tau else None)
        assert analyse(topology).largest_degree == 1
    assert make("one-peer-exponential", 6).links(1, 5).heard == {3: 0.5}  # step 5 is round 2, and 1 - 4 = 3 modulo 6
    assert make("one-peer-exponential", 6).links(1, 5).told == [5]


def test_random_matching_pairs_all_but_an_odd_rank():
    for n in (2, 7, 8):
        for step in range(50):
            matrix = make("random-matching", n).matrix(step)
            assert set(np.unique(matrix)) <= {0.0, 0.5, 1.0}
            assert (matrix.diagonal() == 1).sum() == n % 2
            assert np.array_equal(matrix @ matrix, matrix)


def test_random_matching_is_a_function_of_seed_and_step():
    def drawn(seed: int) -> list[bytes]:
        topology = make("random-matching", 8, seed=seed)
        return [topology.matrix(step).tobytes() for step in (2, 0, 1)]

    assert drawn(3) == drawn(3)
    assert len({*drawn(3), *drawn(4)}) == 6
    partners = [int(np.flatnonzero(make("random-matching", 5).matrix(step)[0])[-1]) for step in range(4000)]
    counts = np.bincount(partners, minlength=5)  # idle, or one of four others
    assert np.abs(counts / 4000 - 1 / 5).max() < 4 * (0.2 * 0.8 / 4000) ** 0.5


@pytest.mark.parametrize("n", [2, 5, 6])
def test_the_expectation_of_random_matching(n):
    topology = make("random-matching", n)
    matrices = np.array([topology.matrix(step) for step in range(4000)])
    found = np.mean([matrix.T @ matrix for matrix in matrices], axis=0)
    np.testing.assert_allclose(found, topology.mean_square(), atol=0.03)
    expected = 0.5 if n % 2 else (n - 2) / (2 * (n - 1))
    assert analyse(topology).rate == pytest.approx(expected, abs=1e-12)
