"""Cost, slope and use of levels, against arithmetic by hand and sums over values."""

import numpy as np
import pytest

from compressors.levels import sets
from compressors.levels.distribution import Histogram
from compressors.levels.objective import gradient, probabilities, relative_error, variance
from tests.compressors.levels.distributions import (
    EVEN,
    GAUSSIAN_BUCKET,
    from_values,
    random_histogram,
    random_normals,
)
from tests.compressors.levels.exact import variances


def test_even_levels_on_even_magnitudes():
    """An interval of width h costs h^3 / 6; the end levels get half as much as the others."""
    levels = np.arange(5) / 4
    assert variance(levels, EVEN) == pytest.approx(1 / 96)
    assert relative_error(levels, EVEN) == pytest.approx(3 / 96)
    np.testing.assert_allclose(probabilities(levels, EVEN), [1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8])
    np.testing.assert_allclose(gradient(levels, EVEN), np.zeros(5), atol=1e-15)


def test_even_levels_without_zero_on_even_magnitudes():
    levels = np.array([1, 3, 5, 7]) / 7
    assert variance(levels, EVEN) == pytest.approx((2 / 7) ** 2 / 6)
    np.testing.assert_allclose(probabilities(levels, EVEN), [2 / 7, 2 / 7, 2 / 7, 1 / 7])
    np.testing.assert_allclose(gradient(levels, EVEN), np.zeros(4), atol=1e-15)
    assert variance(np.ones(1), EVEN) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(gradient(np.ones(1), EVEN), [0])
    np.testing.assert_allclose(probabilities(np.ones(1), EVEN), [1])


def test_one_level_by_hand():
    """The variance of {0, l, 1} on even magnitudes is (l^3 + (1 - l)^3) / 6."""
    levels = np.array([0, 0.3, 1])
    assert variance(levels, EVEN) == pytest.approx((0.027 + 0.343) / 6)
    np.testing.assert_allclose(gradient(levels, EVEN), [0, (0.09 - 0.49) / 2, 0])
    np.testing.assert_allclose(probabilities(levels, EVEN), [0.15, 0.5, 0.35])


@pytest.mark.parametrize(
    ("levels", "error"), [(sets.uniform(4), 2.647), (sets.exponential(4), 0.0955)], ids=["uniform", "exponential"]
)
def test_the_error_of_a_gaussian_bucket(levels, error):
    assert relative_error(levels, GAUSSIAN_BUCKET) == pytest.approx(error, rel=5e-4)
    assert variance(levels, GAUSSIAN_BUCKET) == pytest.approx(error / 1024, rel=5e-4)


@pytest.mark.parametrize("zero", [True, False])
def test_the_gradient_is_the_slope_of_the_variance(zero):
    random = np.random.default_rng(4)
    for _ in range(20):
        normals = random_normals(random)
        levels = np.append(np.sort(random.uniform(0.001, 0.99, 5)), 1.0)
        levels[0] *= not zero
        slope = gradient(levels, normals)
        for j in range(zero, 5):
            step = np.zeros(6)
            step[j] = 1e-4 * levels[j]
            difference = variance(levels + step, normals) - variance(levels - step, normals)
            assert slope[j] == pytest.approx(difference / (2 * step[j]), rel=1e-2, abs=1e-6)
        assert slope[5] == 0
        assert slope[0] == 0 or not zero


@pytest.mark.parametrize("zero", [True, False])
def test_probabilities_are_those_of_rounding_every_value(zero):
    random = np.random.default_rng(5)
    edges = np.linspace(0, 1, 21)
    values = np.concatenate([random.beta(0.4, 2, 2000), np.zeros(300), np.full(100, 0.5), np.ones(50)])
    histogram = from_values(values, np.append(edges, 1.0))
    levels = edges[[0, 1, 3, 10, 20]] if zero else edges[[2, 3, 10, 20]]
    signed = levels if zero else np.append(-levels[0], levels)
    upper = np.searchsorted(signed, values).clip(1)
    up = (values - signed[upper - 1]) / (signed[upper] - signed[upper - 1])
    expected = (np.bincount(upper, up, len(signed)) + np.bincount(upper - 1, 1 - up, len(signed))) / len(values)
    if not zero:
        expected = np.append(expected[0] + expected[1], expected[2:])
    np.testing.assert_allclose(probabilities(levels, histogram), expected, rtol=1e-9)


def test_probabilities_are_probabilities():
    """Also where levels are closer than the moments are precise."""
    random = np.random.default_rng(6)
    for _ in range(30):
        for distribution in (random_normals(random), random_histogram(random)):
            for levels in (sets.exponential(8), sets.exponential(8, zero=False), sets.uniform(8), np.ones(1)):
                p = probabilities(levels, distribution)
                assert (p >= 0).all()
                assert p.sum() == pytest.approx(1)
                assert len(p) == len(levels)


def test_levels_on_the_values_cost_nothing():
    values = np.array([0, 0.25, 0.25, 1])
    histogram = from_values(values, np.array([0, 0.25, 0.5, 1, 1]))
    levels = np.array([0, 0.25, 0.5, 1])
    assert variance(levels, histogram) == 0
    assert variances(levels, values).sum() == 0
    np.testing.assert_allclose(probabilities(levels, histogram), [1 / 4, 1 / 2, 0, 1 / 4])


def test_nothing_seen_costs_nothing():
    empty = Histogram(np.array([0.0, 1.0]), *np.zeros((3, 1)))
    assert variance(sets.uniform(4), empty) == 0
    assert relative_error(sets.uniform(4), empty) == 0
