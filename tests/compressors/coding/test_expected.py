"""Expected lengths: analytic cases, and the derived bound on random probabilities."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from compressors.coding import expected


def test_entropy():
    assert expected.entropy([0.5, 0.25, 0.25]) == 1.5
    assert expected.entropy([0.25] * 4) == 2
    assert expected.entropy([0, 1, 0]) == 0


def test_huffman_is_at_the_entropy_for_powers_of_two():
    assert expected.huffman_length([0.5, 0.125, 0.25, 0.125]) == expected.entropy([0.5, 0.125, 0.25, 0.125]) == 1.75


def test_blocks_spread_the_fraction_of_a_bit():
    """Levels 0.9 and 0.1 in pairs 0.81 0.09 0.09 0.01: 1, 2, 3 and 3 bits, 1.29 for two levels."""
    assert expected.huffman_length([0.9, 0.1]) == 1
    assert expected.huffman_length([0.9, 0.1], block=2) == pytest.approx(1.29 / 2)
    p = [0.8, 0.15, 0.05]
    for block in (1, 2, 3, 4, 5):
        excess = expected.huffman_length(p, block) - expected.entropy(p)
        assert 0 <= excess <= 1 / block


def test_elias_lengths():
    """Omega: 1, 3, 3, 6 bits; gamma: 1, 3, 3, 5; delta: 1, 4, 4, 5."""
    p = [0.5, 0.25, 0.125, 0.125]
    assert expected.elias_length(p) == 0.5 + 0.75 + 0.375 + 0.75
    assert expected.elias_length(p, "gamma") == 0.5 + 0.75 + 0.375 + 0.625
    assert expected.elias_length(p, "delta") == 0.5 + 1 + 0.5 + 0.625


def test_sign_and_header():
    assert expected.sign_bits([0.7, 0.2, 0.1]) == pytest.approx(0.3)
    assert expected.bound([0.5, 0.5]) == 1 + 1 + 0.5
    assert expected.bucket_bound([0.5, 0.5], 1024) == 32 + 1024 * 2.5
    assert expected.bucket_bound([0.5, 0.5], 64, header_bits=64) == 64 + 64 * 2.5


def probabilities():
    """Random, nearly even, peaked, geometric (where the limit of 15 bits binds), of 1 to 256 levels."""
    random = np.random.default_rng(0)
    for _ in range(300):
        n = int(random.integers(1, 257))
        yield random.dirichlet(np.full(n, 10.0 ** random.uniform(-2, 2)))
    for n in (2, 3, 17, 40, 255, 256):
        for ratio in (0.3, 0.5, 0.6, 0.8, 0.99):
            p = ratio ** np.arange(n)
            yield p / p.sum()
        for rare in (1e-12, 1e-4, 1e-2):
            yield np.array([1 - rare * (n - 1) / n, *[rare / n] * (n - 1)])


def test_the_bound_holds():
    """H(p) + (1 - p_0) <= Huffman and signs <= H(p) + 1 + (1 - p_0)."""
    for p in probabilities():
        if np.count_nonzero(p) > 1:
            length = expected.huffman_length(p) + expected.sign_bits(p)
            assert expected.entropy(p) + expected.sign_bits(p) <= length + 1e-9
            assert length <= expected.bound(p) + 1e-9
            assert (
                expected.huffman_length(p)
                <= min(expected.elias_length(p, kind) for kind in ("gamma", "delta", "omega")) + 1e-9
            )


def test_the_bound_is_approached():
    """A level that is nearly certain costs a whole bit."""
    p = [1 - 1e-6, 1e-6]
    assert expected.huffman_length(p) + expected.sign_bits(p) == pytest.approx(expected.bound(p), abs=3e-5)


def gaussian_levels(levels: list[float], dimension: int) -> np.ndarray:
    """Probabilities of the levels of |u| for u normal, of variance 1 / dimension, within [-1, 1]."""
    density = stats.truncnorm(-math.sqrt(dimension), math.sqrt(dimension), scale=dimension**-0.5).pdf
    p = np.zeros(len(levels))
    for j, (low, high) in enumerate(itertools.pairwise(levels)):
        up = integrate.quad(lambda u, low=low, high=high: 2 * density(u) * (u - low) / (high - low), low, high)[0]
        down = integrate.quad(lambda u, low=low, high=high: 2 * density(u) * (high - u) / (high - low), low, high)[0]
        p[j] += down
        p[j + 1] += up
    return p / p.sum()


@pytest.mark.parametrize(
    ("levels", "length", "bound"),
    [
        ([j / 7 for j in range(8)], 1.35, 1.84),
        ([0, *(2.0 ** -(6 - j) for j in range(7))], 2.96, 3.78),
        ([0, 0.0112, 0.0230, 0.0359, 0.0513, 0.0723, 0.1149, 1], 3.39, 4.31),
    ],
    ids=["uniform", "exponential", "alq"],
)
def test_gaussian_bucket_of_1024(levels, length, bound):
    """Six levels between 0 and 1, bits of a coordinate with its sign."""
    p = gaussian_levels(levels, 1024)
    assert expected.huffman_length(p) + expected.sign_bits(p) == pytest.approx(length, abs=0.005)
    assert expected.bound(p) == pytest.approx(bound, abs=0.005)


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5], [], [[1.0]], [math.nan, 1], [1 / 257] * 257])
def test_what_is_no_distribution_is_refused(p):
    with pytest.raises(ValueError, match="add up to 1"):
        expected.entropy(p)
