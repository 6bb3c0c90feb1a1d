"""Fitted levels: the known optimum, and never worse than where the search began."""

import numpy as np
import pytest

from compressors.levels import descent, sets
from compressors.levels.distribution import Histogram, TruncatedNormals
from compressors.levels.fit import METHODS, fit
from compressors.levels.objective import gradient, relative_error, variance
from tests.compressors.levels.distributions import (
    EVEN,
    GAUSSIAN_BUCKET,
    from_values,
    random_histogram,
    random_normals,
)

STARTS = {"uniform": sets.uniform(4), "exponential": sets.exponential(4)}


@pytest.mark.parametrize("start", STARTS)
def test_coordinate_descent_on_a_gaussian_bucket(start, monkeypatch):
    histogram = GAUSSIAN_BUCKET.histogram()
    found = descent.coordinate_descent(STARTS[start], histogram)
    assert variance(found, GAUSSIAN_BUCKET) == pytest.approx(3.611e-5, abs=5e-9)
    np.testing.assert_allclose(found, [0, 0.0112, 0.0230, 0.0359, 0.0513, 0.0723, 0.1149, 1], atol=5e-5)
    costs = []
    for sweeps in range(31):
        monkeypatch.setattr(descent, "SWEEPS", sweeps)
        costs.append(variance(descent.coordinate_descent(STARTS[start], histogram), histogram))
    assert (np.diff(costs) <= 0).all()
    assert costs[0] == pytest.approx({"uniform": 2.585e-3, "exponential": 9.33e-5}[start], rel=1e-3)
    assert costs[30] == pytest.approx(3.611e-5, rel=1e-3)


@pytest.mark.parametrize("start", STARTS)
def test_gradient_descent_on_a_gaussian_bucket(start):
    found = descent.gradient_descent(STARTS[start], GAUSSIAN_BUCKET.histogram())
    assert variance(found, GAUSSIAN_BUCKET) == pytest.approx(3.611e-5, rel=0.001)


@pytest.mark.parametrize("descend", [descent.coordinate_descent, descent.gradient_descent])
@pytest.mark.parametrize("zero", [True, False])
def test_descent_keeps_the_order_and_the_ends(descend, zero):
    random = np.random.default_rng(11)
    for _ in range(10):
        start = sets.uniform(4, zero)
        found = descend(start, random_histogram(random))
        assert (np.diff(found, prepend=0.0 if not zero else -1.0) > 0).all()
        assert found[-1] == 1
        assert (found[0] == 0) == zero
        np.testing.assert_array_equal(start, sets.uniform(4, zero))


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("width", [1e-4, 1 / 32, 1])
def test_gradient_descent_comes_as_low_at_every_scale(width, zero):
    normal = TruncatedNormals(np.zeros(1), np.full(1, width), np.ones(1))
    for bits in (2, 4, 6):
        previous = sets.uniform(bits, zero)
        assert fit("alq-gd", normal, previous).variance < 1.01 * fit("alq", normal, previous).variance


@pytest.mark.parametrize("method", ["alq", "alq-gd"])
def test_fitted_levels_of_a_gaussian_bucket(method):
    found = fit(method, GAUSSIAN_BUCKET, sets.uniform(4))
    assert relative_error(found.levels, GAUSSIAN_BUCKET) <= 0.037
    assert found.previous == pytest.approx(2.585e-3, rel=1e-3)
    np.testing.assert_allclose(found.levels[1:-1], [0.0112, 0.0230, 0.0359, 0.0513, 0.0723, 0.1149], atol=2e-4)


@pytest.mark.parametrize("method", ["alq", "alq-gd"])
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 6])
def test_even_levels_are_best_for_even_magnitudes(method, zero, bits):
    found = fit(method, EVEN, sets.exponential(bits, zero=zero))
    np.testing.assert_allclose(found.levels, sets.uniform(bits, zero), atol=2e-6)


def test_many_levels_come_near_the_limit_of_high_resolution():
    """(integral of f^(1/3))^3 / 6 n^2 for n intervals (Panter and Dite), here sqrt(3) pi std^2 / 4 n^2."""
    limit = np.sqrt(3) * np.pi / 4 / 1024 / 127**2
    found = fit("alq", GAUSSIAN_BUCKET, sets.uniform(8)).variance
    assert limit < found < 1.05 * limit


def test_two_levels_as_good_as_the_best_of_all_pairs():
    random = np.random.default_rng(7)
    grid = np.linspace(0.005, 0.995, 100)
    for _ in range(5):
        histogram = random_histogram(random)
        best = min(variance(np.array([0, a, b, 1]), histogram) for i, a in enumerate(grid) for b in grid[i + 1 :])
        assert fit("alq", histogram, sets.uniform(3)).variance <= best


def test_the_best_multiplier():
    """Over all multipliers, and 1/3 where the values are powers of it."""
    bases = np.linspace(0.01, 0.99, 981)
    for zero in (True, False):
        best = min(variance(sets.exponential(4, base, zero), GAUSSIAN_BUCKET) for base in bases)
        found = fit("amq", GAUSSIAN_BUCKET, sets.uniform(4, zero))
        assert found.variance <= best * (1 + 1e-9)
        assert found.variance == pytest.approx(best, rel=1e-3)
        powers = found.levels[1:] if zero else found.levels
        np.testing.assert_allclose(powers[1:] * powers[-2], powers[:-1], rtol=1e-6)
    thirds = from_values(3.0 ** -np.arange(3), np.array([0, 1 / 9, 1 / 3, 1, 1]))
    assert fit("amq", thirds, sets.exponential(3, zero=True)).levels[-2] == pytest.approx(1 / 3, rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("zero", [True, False])
def test_never_above_any_start(method, zero):
    random = np.random.default_rng(8)
    for trial in range(20):
        distribution = random_normals(random) if trial % 2 else random_histogram(random)
        bits = int(random.integers(1 + zero, 6))
        previous = sets.uniform(bits, zero) if trial % 3 else sets.exponential(bits, random.uniform(0.2, 0.9), zero)
        found = fit(method, distribution, previous)
        levels = sets.check(found.levels, bits, need_zero=zero)
        np.testing.assert_array_equal(levels, found.levels)
        assert sets.kind(levels) == (bits, zero)
        assert found.variance == variance(levels, distribution) <= min(found.starts.values())
        if method != "amq" or trial % 3 == 0:
            assert found.variance <= found.previous == variance(previous, distribution)
            assert fit(method, distribution, levels).variance <= found.variance
        np.testing.assert_array_equal(fit(method, distribution, previous).levels, levels)


def test_a_multiplier_found_before_is_a_start():
    assert fit("amq", EVEN, sets.exponential(4, 0.37)).starts["previous"] == variance(sets.exponential(4, 0.37), EVEN)
    assert "previous" not in fit("amq", EVEN, sets.uniform(4)).starts


def test_at_the_optimum_the_slope_is_nothing():
    random = np.random.default_rng(9)
    for zero in (True, False):
        for _ in range(10):
            normals = random_normals(random)
            normals = TruncatedNormals(normals.mean, np.maximum(normals.std, 0.01), np.ones(len(normals.mean)))
            levels = fit("alq", normals, sets.uniform(4, zero)).levels
            slope, steep = gradient(levels, normals), gradient(sets.uniform(4, zero), normals)
            assert np.abs(slope).max() < 1e-2 * np.abs(steep).max()


def test_nothing_seen_leaves_the_levels():
    empty = Histogram(np.array([0.0, 1.0]), *np.zeros((3, 1)))
    for method in METHODS:
        previous = sets.exponential(4, 0.3)
        found = fit(method, empty, previous)
        np.testing.assert_array_equal(found.levels, previous)
        assert found.variance == found.previous == 0


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="unknown method 'amw'; did you mean 'amq'"):
        fit("amw", EVEN, sets.uniform(3))
