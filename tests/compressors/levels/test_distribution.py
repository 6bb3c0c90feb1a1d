"""Partial moments against quadrature and against sums over values."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import truncnorm

from compressors.levels import sets
from compressors.levels.distribution import Histogram, TruncatedNormals
from compressors.levels.objective import variance
from tests.compressors.levels.distributions import EVEN, from_values, random_histogram, random_normals
from tests.compressors.levels.exact import variances


@pytest.mark.parametrize("mean", [0.0, 0.003, -0.2, 0.9, 1.0])
@pytest.mark.parametrize("std", [1e-4, 1 / 32, 0.3, 1.0])
def test_moments_of_a_truncated_normal(mean, std):
    normal = truncnorm((-1 - mean) / std, (1 - mean) / std, mean, std)
    near = np.clip(abs(mean) + std * np.array([-3, -1, 0, 0.5, 2]), 1e-5, 1)
    x = np.unique([1e-5, *near, 0.95, 1])
    expected = np.zeros((3, len(x)))
    pieces = np.append(0, x)
    for k in range(3):
        parts = [
            quad(lambda u, k=k: u**k * (normal.pdf(u) + normal.pdf(-u)), a, b, epsabs=0, epsrel=1e-11)[0]
            for a, b in pairwise(pieces)
        ]
        expected[k] = np.cumsum(parts)
    found = TruncatedNormals(np.array([mean]), np.array([std]), np.array([7.0])).moments(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)


def test_a_mixture_is_the_weighted_mean():
    mean, std, mass = np.array([0.1, -0.4, 0]), np.array([0.01, 0.2, 1e-3]), np.array([1.0, 2, 5])
    x = np.linspace(0, 1, 41)
    single = [TruncatedNormals(*np.array([[m], [s], [1.0]])).moments(x) for m, s in zip(mean, std, strict=True)]
    np.testing.assert_allclose(
        TruncatedNormals(mean, std, mass).moments(x), np.tensordot(mass / 8, single, 1), rtol=1e-12, atol=1e-16
    )


def test_many_normals_and_a_point():
    """Chunks add up; a bucket of equal values has no width."""
    many = TruncatedNormals(np.zeros(1000), np.full(1000, 0.1), np.ones(1000))
    one = TruncatedNormals(np.zeros(1), np.full(1, 0.1), np.ones(1))
    np.testing.assert_allclose(many.moments([0.05, 0.3]), one.moments([0.05, 0.3]), rtol=1e-12)
    point = TruncatedNormals(np.array([-0.25]), np.zeros(1), np.ones(1))
    np.testing.assert_allclose(point.moments([0.2499, 0.2501]), [[0, 1], [0, 1 / 4], [0, 1 / 16]], rtol=1e-5)


def test_normals_in_bins_cost_what_normals_cost():
    random = np.random.default_rng(0)
    for _ in range(30):
        normals = random_normals(random)
        histogram = normals.histogram()
        for levels in (sets.uniform(4), sets.exponential(4), sets.uniform(4, zero=False)):
            assert variance(levels, histogram) == pytest.approx(variance(levels, normals), rel=1e-3)
        np.testing.assert_allclose(histogram.moments([1.0]), normals.moments([1.0]), rtol=1e-9)


def test_levels_at_the_edges_of_a_histogram_cost_what_they_cost_on_its_values():
    random = np.random.default_rng(1)
    values = np.concatenate([random.beta(0.3, 2, 500), np.zeros(40), np.ones(7), [0.5]])
    edges = np.concatenate([[0.0], np.geomspace(1e-4, 1, 12), [1.0]])  # the last bin is 1 alone
    histogram = from_values(values, edges)
    for levels in (edges[:-1], edges[[0, 3, 4, 9, 12]], edges[1:-1], edges[[12]]):
        assert variance(levels, histogram) == pytest.approx(variances(levels, values).mean(), rel=1e-9)
    np.testing.assert_allclose(histogram.moments([1.0])[:, 0], [np.mean(values**k) for k in range(3)], rtol=1e-12)
    np.testing.assert_allclose(histogram.moments([0.999999])[0, 0], np.mean(values < 1), rtol=1e-12)


def test_inside_a_bin_the_mass_is_a_distribution():
    """M_0 never falls, and the mass between any two points lies between them."""
    random = np.random.default_rng(2)
    for _ in range(50):
        histogram = random_histogram(random)
        x = np.sort(random.uniform(0, 1, 300) ** random.choice([1, 5]))
        mass, first, second = np.diff(histogram.moments(x), axis=1)
        low, high = x[:-1], x[1:]
        assert (mass >= -1e-15).all()
        assert (low * mass - 1e-15 <= first).all()
        assert (first <= high * mass + 1e-15).all()
        assert (low * first - 1e-15 <= second).all()
        assert (second <= high * first + 1e-15).all()


@pytest.mark.parametrize(
    ("values", "x", "below"),
    [
        ([0.5, 0.5], 0.49, 0.0),  # no variance: all at the mean
        ([0.5, 0.5], 0.51, 1.0),
        ([0.0, 0.999999], 0.2, 0.5),  # all the variance there can be: at the edges
        ([0.25, 0.75], 0.5, 0.5),
    ],
)
def test_one_bin_shaped_by_its_moments(values, x, below):
    values = np.array(values)
    assert from_values(values, np.array([0.0, 1.0])).moments([x])[0, 0] == pytest.approx(below, abs=1e-5)


def test_quantiles_undo_the_mass():
    p = np.linspace(0.01, 0.99, 33)
    np.testing.assert_allclose(EVEN.quantile(p), p, rtol=1e-12)
    random = np.random.default_rng(3)
    for _ in range(20):
        histogram = random_histogram(random)
        x = histogram.quantile(p)
        assert (histogram.moments(np.minimum(x * (1 + 1e-12), 1))[0] >= p - 1e-9).all()
        inner = x > 0
        assert (histogram.moments(x[inner] * (1 - 1e-12))[0] <= p[inner] + 1e-9).all()


@pytest.mark.parametrize(
    "empty", [TruncatedNormals(*np.zeros((3, 0))), Histogram(np.array([0.0, 0.5, 1]), *np.zeros((3, 2)))]
)
def test_no_mass(empty):
    assert empty.empty
    assert empty.histogram().empty
    np.testing.assert_array_equal(empty.moments([0.0, 0.5, 1.0]), np.zeros((3, 3)))
    assert not EVEN.empty
