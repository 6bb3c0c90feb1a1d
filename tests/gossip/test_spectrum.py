"""Measures of topologies against formulas, and against published distances to consensus."""

import numpy as np
import pytest

from hvd_qgenx.gossip.registry import make
from hvd_qgenx.gossip.spectrum import analyse, consensus_errors, consensus_step_size, rounds_to_consensus, spectral_gap

ERRORS = {
    "ring": {10: 7.1e-2, 20: 3.8e-2, 40: 1.5e-2},
    "torus": {5: 6.7e-3, 10: 2.6e-4, 20: 4e-7},
    "one-peer-exponential": {5: 5.1e-3, 10: 1.3e-4, 20: 1.6e-7},
    "exponential": {5: 2.6e-4, 10: 2e-7},
}
"""Squared distances to consensus over their start, of 25 ranks, after so many rounds."""


@pytest.mark.parametrize("name", ERRORS)
def test_published_distances(name):
    found = consensus_errors(make(name, 25), 40)
    assert found[0] == 1
    for rounds, error in ERRORS[name].items():
        assert error / 1.5 < found[rounds] < error * 1.5


def test_distances_fall_as_the_gap_says():
    for name, n in (("ring", 16), ("torus", 25), ("exponential", 25), ("social", 32), ("disconnected", 3)):
        topology = make(name, n)
        found, rate = consensus_errors(topology, 100), analyse(topology).rate
        assert (found <= rate ** np.arange(101) * (1 + 1e-9) + 1e-28).all()
    assert consensus_errors(make("ring", 1), 3).tolist() == [0, 0, 0, 0]


def test_gaps_and_norms_of_formulas():
    for n in (3, 8, 25, 64):
        ring = analyse(make("ring", n))
        assert ring.gap == pytest.approx(1 - (1 + 2 * np.cos(2 * np.pi / n)) / 3)
        assert ring.beta == pytest.approx((2 - 2 * np.cos(2 * np.pi * (n // 2) / n)) / 3)
        assert analyse(make("star", n)).gap == pytest.approx(1 / n)
        assert analyse(make("chain", n)).gap == pytest.approx(2 / 3 * (1 - np.cos(np.pi / n)))
        assert analyse(make("complete", n)).gap == 1
    for bits in (1, 3, 6):
        assert analyse(make("hypercube", 2**bits)).gap == pytest.approx(2 / (bits + 1))
        assert analyse(make("exponential", 2**bits)).gap == pytest.approx(2 / (bits + 1))


def test_gaps_of_schedules_are_those_of_a_round():
    topology = make("one-peer-exponential", 6)
    product = topology.matrix(2) @ topology.matrix(1) @ topology.matrix(0)
    assert spectral_gap(topology) == pytest.approx(1 - np.linalg.svd(product)[1][1] ** (1 / 3))
    assert spectral_gap(make("base-k", 25)) == 1
    assert spectral_gap(make("disconnected", 7)) == 0


def test_degrees():
    found = analyse(make("base-k", 3))  # two pairs that a third meets in between
    assert (found.least_degree, found.largest_degree) == (0, 1)
    assert found.mean_degree == pytest.approx(2 / 3)
    found = analyse(make("star", 5))
    assert (found.least_degree, found.mean_degree, found.largest_degree) == (1, 8 / 5, 4)
    assert analyse(make("exponential", 9)).mean_degree == 4


def test_what_only_becomes_small_is_not_exact():
    assert rounds_to_consensus(make("complete", 9)) == 1
    for name, n in (("margulis", 64), ("exponential", 63), ("random-matching", 9), ("torus", 9)):
        assert rounds_to_consensus(make(name, n)) is None


def test_consensus_step_size():
    assert consensus_step_size(1, 1, 1) == pytest.approx(1 / 15)  # a complete graph: 1 / (16 + 1 + 4 + 2 - 8)
    ring = analyse(make("ring", 4))  # gap 2/3, beta 4/3: 2/9 / (32/3 + 4/9 + 64/9 + 64/27 - 8/3)
    assert consensus_step_size(ring.gap, ring.beta, 0.5) == pytest.approx(3 / 242)
