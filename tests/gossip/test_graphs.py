"""Topologies by name: doubly stochastic for every number of ranks, spectral gaps as published, weights, refusals."""

import re

import numpy as np
import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.registry import TOPOLOGIES, make
from hvd_qgenx.gossip.spectrum import analyse, spectral_gap
from hvd_qgenx.gossip.weights import check_mixing, max_degree, metropolis, uniform

SIZES = range(1, 65)
EVERY_SIZE = (
    *("complete", "ring", "star", "chain", "exponential", "disconnected"),
    *("one-peer-exponential", "base-k", "random-matching"),
)
SOME_SIZES = {
    "torus": [9, 12, 15, 16, 18, 20, 21, 24, 25, 27, 28, 30],
    "expander": [2, 3, 5, 7, 11, 13, 17, 19, 23, 29],
    "margulis": [4, 9, 16, 25],
    "social": [32],
    "extended-ring": [2, 4, 6, 8, 10, 12],
    "hypercube": [2, 4, 8, 16, 32],
}
"""The first numbers of ranks from 2 on."""
DIRECTED = ("exponential", "one-peer-exponential")
GAPS = {
    "ring": {4: 0.6667, 8: 0.1953, 9: 0.1560, 16: 0.0507, 25: 0.0209, 32: 0.0128, 36: 0.0101, 64: 0.0032},
    "torus": {9: 0.6, 16: 0.4, 25: 0.2764, 32: 0.1172, 36: 0.2, 64: 0.1172},
    "social": {32: 0.0903},
    "margulis": {9: 0.6, 16: 0.461, 36: 0.349, 64: 0.312},
    "expander": {7: 0.295, 13: 0.172, 17: 0.145, 37: 0.096},
}


def sizes(name: str) -> list[int]:
    """The accepted numbers of ranks; a refusal has to name the nearest of them."""
    accepted, refused = [], {}
    for n in SIZES:
        try:
            make(name, n)
        except ConfigurationError as error:
            refused[n] = str(error)
        else:
            accepted.append(n)
    for n, sentence in refused.items():
        named = [int(number) for number in re.findall(r"\d+", sentence.split("the nearest")[1])]
        below = [m for m in accepted if 1 < m < n]
        above = next(m for m in range(n + 1, 200) if m in accepted or m > 64) if max(accepted) > n else None
        assert named[:1] == below[-1:] or not below
        assert above is None or named[-1] == above
        assert f"not {n};" in sentence
        for number in named:
            assert make(name, number).size == number
    return accepted


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_accepted_number_of_ranks(name):
    accepted = sizes(name)
    assert accepted[0] == 1
    if name in EVERY_SIZE:
        assert accepted == list(SIZES)
    else:
        assert accepted[1 : len(SOME_SIZES[name]) + 1] == SOME_SIZES[name]
    for n in accepted:
        topology = make(name, n)
        assert (topology.name, topology.size) == (name, n)
        assert (topology.period is None) == (name == "random-matching" and n > 1)
        for step in range(topology.period or 8):
            matrix = topology.matrix(step)
            assert matrix.shape == (n, n)
            assert matrix.dtype == np.float64
            assert matrix.min() >= 0
            assert np.abs(matrix.sum(0) - 1).max() < 1e-12
            assert np.abs(matrix.sum(1) - 1).max() < 1e-12
            assert name in DIRECTED or (matrix == matrix.T).all()
        found = analyse(topology)
        assert found.connected == (name != "disconnected" or n == 1)
        assert found.directed == (name in DIRECTED and n > (2 if name == "one-peer-exponential" else 3))
        assert (found.gap > 0) == found.connected
    with pytest.raises(ConfigurationError, match="one rank or more, not 0"):
        make(name, 0)


@pytest.mark.parametrize("name", GAPS)
def test_published_gaps(name):
    for n, gap in GAPS[name].items():
        assert spectral_gap(make(name, n)) == pytest.approx(
            gap, abs=5.1e-4 if name in ("margulis", "expander") else 5e-5
        )


@pytest.mark.parametrize(
    ("name", "n", "row"),
    [
        ("ring", 1, [1]),
        ("ring", 2, [1 / 2, 1 / 2]),
        ("ring", 4, [1 / 3, 1 / 3, 0, 1 / 3]),
        ("extended-ring", 2, [1 / 2, 1 / 2]),
        ("extended-ring", 4, [1 / 4] * 4),
        ("extended-ring", 6, [1 / 4, 1 / 4, 0, 1 / 4, 0, 1 / 4]),
        ("complete", 5, [1 / 5] * 5),
        ("hypercube", 4, [1 / 3, 1 / 3, 1 / 3, 0]),
        ("torus", 9, [1 / 5, 1 / 5, 1 / 5, 1 / 5, 0, 0, 1 / 5, 0, 0]),
        ("star", 4, [1 / 4] * 4),
        ("chain", 3, [2 / 3, 1 / 3, 0]),
        ("exponential", 5, [1 / 4, 1 / 4, 0, 1 / 4, 1 / 4]),
        ("disconnected", 3, [1, 0, 0]),
    ],
)
def test_first_rows(name, n, row):
    np.testing.assert_allclose(make(name, n).matrix(0)[0], row, atol=1e-15)


def test_an_inverse_that_is_a_neighbour_counts_twice():
    matrix = make("expander", 5).matrix(0)
    np.testing.assert_allclose(matrix[2], [0, 1 / 3, 0, 2 / 3, 0], atol=1e-15)  # 2 * 3 = 6 = 1 modulo 5
    np.testing.assert_allclose(matrix[4], [1 / 3, 0, 0, 1 / 3, 1 / 3], atol=1e-15)
    assert make("expander", 5, weights="uniform").matrix(0)[2, 3] == pytest.approx(1 / 3)


def test_the_social_graph():
    found = analyse(make("social", 32))
    assert (found.least_degree, found.largest_degree) == (2, 14)
    assert found.mean_degree == pytest.approx(2 * 89 / 32)


def test_rules_of_weights():
    star = np.zeros((4, 4), dtype=bool)
    star[0, 1:] = star[1:, 0] = True
    star[1, 2] = star[2, 1] = True  # degrees 3, 2, 2, 1
    assert uniform(star)[1].tolist() == [1 / 4, 1 / 2, 1 / 4, 0]
    assert max_degree(star)[1] == pytest.approx([1 / 3, 1 / 6, 1 / 2, 0])
    assert metropolis(star)[1] == pytest.approx([1 / 4, 5 / 12, 1 / 3, 0])
    for name in ("star", "social", "chain", "expander", "margulis"):
        for weights in ("uniform", "max-degree", "metropolis"):
            check_mixing(name, make(name, SOME_SIZES.get(name, [9])[-1], weights=weights).matrix(0))


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_a_broken_weight_is_found(name):
    if name == "disconnected":
        with pytest.raises(ConfigurationError, match="not connected: no path leads from rank 0 to ranks 1, 2, 3"):
            check_mixing(name, make(name, 9).matrix(0))
        return
    matrix = make(name, SOME_SIZES.get(name, [9])[-1]).matrix(0).copy()
    if not name.startswith(("base", "random", "one-peer")):  # a single round of these does not connect all
        check_mixing(name, matrix)
    matrix[1, 2] += 1e-4
    with pytest.raises(ConfigurationError, match=r"row 1 of the weights adds up to 1\.0001, but must add up to 1"):
        check_mixing(name, matrix)
    matrix[1, 1] -= 1e-4
    with pytest.raises(ConfigurationError, match=r"column 1 of the weights adds up to 0\.9999|may be negative"):
        check_mixing(name, matrix)


def test_links_are_entries_of_the_matrix():
    for name, n in (("exponential", 6), ("base-k", 7), ("social", 32)):
        topology = make(name, n)
        for step in range(topology.period):
            matrix = topology.matrix(step)
            for rank in range(n):
                links = topology.links(rank, step)
                assert links.own + sum(links.heard.values()) == pytest.approx(1, abs=1e-12)
                assert all(matrix[rank, j] == weight for j, weight in links.heard.items())
                assert all(rank in topology.links(i, step).heard for i in links.told)


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ("rnig", {}, "did you mean 'ring'"),
        ("ring", {"weights": "metropols"}, "did you mean 'metropolis'"),
        ("ring", {"weights": "max-degree"}, "never agree; choose weights that leave every rank a share of its own"),
        ("exponential", {"weights": "uniform"}, "weights of exponential cannot be chosen"),
        ("base-k", {"weights": "metropolis"}, "weights of base-k cannot be chosen"),
        ("ring", {"peers": 2}, "peers of ring cannot be chosen; only base-k takes one"),
        ("base-k", {"peers": 0}, "needs one peer or more, not 0"),
        ("base-k:peers=two", {}, "peers must be a whole number, not 'two'"),
        ("base-k:peers=2", {"peers": 3}, "contradict each other"),
        ("base-k:k=2", {}, "the one parameter of a topology is peers"),
        ("base-k:peers", {}, "not of the form"),
    ],
)
def test_refusals(text, settings, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        make(text, 8, **settings)
