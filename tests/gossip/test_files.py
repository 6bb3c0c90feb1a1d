"""Graphs from files: three forms, and sentences about those that are no graph."""

import re

import numpy as np
import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.registry import make
from hvd_qgenx.gossip.spectrum import rounds_to_consensus

PATH = "0 1\n1 2\n2 3\n"


def read(tmp_path, text, ranks, **settings):
    path = tmp_path / "graph.txt"
    path.write_text(text)
    return make(str(path), ranks, **settings)


def test_an_edge_list_has_the_weights_of_a_rule(tmp_path):
    text = f"# four hosts\n\n{PATH.replace(' ', ', ')}  0 3 # closes the ring\n"
    topology = read(tmp_path, text, 4)
    assert topology.name == str(tmp_path / "graph.txt")
    assert topology.period == 1
    np.testing.assert_allclose(topology.matrix(0), make("ring", 4).matrix(0))
    chain = read(tmp_path, "0 1\n1 2\n0 2\n2 3\n", 4)
    assert chain.matrix(0)[0] == pytest.approx([5 / 12, 1 / 3, 1 / 4, 0])  # metropolis
    assert read(tmp_path, "0 1\n1 2\n0 2\n2 3\n", 4, weights="max-degree").matrix(0)[3] == pytest.approx(
        [0, 0, 1 / 3, 2 / 3]
    )


def test_edges_with_weights(tmp_path):
    topology = read(tmp_path, "0 1 .25\n2 1 5e-1\n", 3)
    assert topology.matrix(0).tolist() == [[0.75, 0.25, 0], [0.25, 0.25, 0.5], [0, 0.5, 0.5]]


@pytest.mark.parametrize("separator", [",", "  ", " , "])
def test_a_matrix(tmp_path, separator):
    rows = [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]
    text = "\n".join(separator.join(map(str, row)) for row in rows)
    assert read(tmp_path, text, 3).matrix(0).tolist() == rows
    assert read(tmp_path, "0.5 0.5\n0.5 0.5", 2).matrix(0).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_the_diagonal_takes_up_missing_digits(tmp_path):
    matrix = read(tmp_path, "\n".join(["0.3333333 0.3333333 0.3333333"] * 3), 3).matrix(0)
    assert np.abs(matrix.sum(0) - 1).max() < 1e-15
    assert np.abs(matrix.sum(1) - 1).max() < 1e-15


def test_exact_consensus_over_a_directed_graph(tmp_path):
    """Rank i hears from 2i and 2i + 1 modulo n: after log2 n rounds, from all (de Bruijn)."""
    matrix = np.zeros((8, 8))
    for i in range(8):
        matrix[i, [2 * i % 8, (2 * i + 1) % 8]] = 0.5
    topology = read(tmp_path, "\n".join(" ".join(map(str, row)) for row in matrix), 8)
    assert rounds_to_consensus(topology) == 3


@pytest.mark.parametrize(
    ("text", "ranks", "sentence"),
    [
        ("", 4, "has no line with numbers"),
        ("# 0 1\n", 4, "has no line with numbers"),
        (PATH, 3, "line 3: the highest rank is 3, so the file has 4 ranks, not 3"),
        (PATH, 8, "line 3: the highest rank is 3, so the file has 4 ranks, not 8"),
        ("0 1\n0 99999999999\n", 4, "line 2: the highest rank is 99999999999"),
        ("0 1\n-1 2\n", 3, "line 2: there is no rank -1"),
        ("0 1\n\n1 x\n", 3, "line 3: 'x' is not a number"),
        ("0 1 .5\n1 2 nan\n", 3, "line 2: nan is not a finite number"),
        ("0 1 .5\n1 2 inf\n", 3, "line 2: inf is not a finite number"),
        ("0 1 .5\n1 2\n", 3, "line 2: 2 numbers, but the first line has 3"),
        ("0 1\n1 1\n", 2, "line 2: an edge from rank 1 to itself"),
        ("0 1\n1 2\n1 0\n", 3, "line 3: ranks 0 and 1 have an edge already, in line 1"),
        ("0 1 .5\n1 2 -.5\n", 3, "line 2: the weight -.5 is not above 0"),
        ("0 1 .5\n1 2 0\n", 3, "line 2: the weight 0 is not above 0"),
        ("0 1 .5\n1 2 .6\n", 3, "line 2: the weights of rank 1 add up to 1.1, more than 1"),
        ("0 1 1\n", 2, "swap values and never agree"),
        ("0 1\n2 3\n4 5\n", 6, "is not connected: no path leads from rank 0 to ranks 2, 3, 4, 5"),
        ("0 1\n2 3\n", 4, "is not connected: no path leads from rank 0 to ranks 2, 3; add edges"),
        ("0 1\n1 3\n", 4, "is not connected: no path leads from rank 0 to rank 2;"),
        (".5 .5 0 0\n.5 .5 0 0\n0 0 .5 .5\n0 0 .5 .5\n", 4, "is not connected"),
        (".5 .5\n.5 .5\n", 3, "line 2: a matrix of 2 ranks, not of 3"),
        (".5 .5\n.5 .5\n.5 .5\n", 3, "line 3: 3 rows of 2 numbers are not a square matrix; ranks in a list"),
        (".5 .5 0\n.5 0 .5\n0 .5 .6\n", 3, "line 3: the weights of rank 2 add up to 1.1, not to 1"),
        (".5 .5 0\n0 .5 .5\n0 .5 .5\n", 3, "column 0 of the weights adds up to 0.5, but must add up to 1"),
        ("1.2 -.2\n-.2 1.2\n", 2, "line 1: the weight -.2 is negative"),
        ("0. 1. 0.\n0. 0. 1.\n1. 0. 0.\n", 3, "swap values and never agree"),
    ],
)
def test_refused_files(tmp_path, text, ranks, sentence):
    with pytest.raises(ConfigurationError, match=re.escape(sentence)) as caught:
        read(tmp_path, text, ranks)
    assert "graph.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refused_requests(tmp_path):
    for text in ("0 1 .5\n", ".5 .5\n.5 .5\n"):
        with pytest.raises(ConfigurationError, match="has weights of its own; leave weights at default"):
            read(tmp_path, text, 2, weights="uniform")
    with pytest.raises(ConfigurationError, match="only base-k takes one"):
        read(tmp_path, PATH, 4, peers=2)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        make(str(tmp_path / "none.txt"), 4)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        make(str(tmp_path), 4)
    (tmp_path / "graph.bin").write_bytes(b"\xff\xfe0 1")
    with pytest.raises(ConfigurationError, match="line 1 is not UTF-8 text"):
        make(str(tmp_path / "graph.bin"), 4)
