"""Bits shared out among groups, against all choices."""

import itertools

import numpy as np
import pytest

from compressors.levels.widths import NARROWEST, WIDEST, choose, share_out


def brute_force(errors, costs, budget):
    options = range(errors.shape[1])
    places = np.arange(len(errors))
    totals = [
        errors[places, list(chosen)].sum()
        for chosen in itertools.product(options, repeat=len(errors))
        if costs[places, list(chosen)].sum() <= budget
    ]
    return min(totals)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_choice_has_a_smaller_error(seed):
    random = np.random.default_rng(seed)
    groups = int(random.integers(1, 6))
    sizes = random.integers(1, 1000, groups)
    errors = random.exponential(size=(groups, 7)).cumsum(axis=1)[:, ::-1] * random.exponential(size=(groups, 1))
    costs = sizes[:, None] * np.arange(2, 9)
    budget = int(random.uniform(2, 8.5) * sizes.sum())
    chosen = choose(errors, costs, budget)
    places = np.arange(groups)
    assert costs[places, chosen].sum() <= budget
    assert errors[places, chosen].sum() == pytest.approx(brute_force(errors, costs, budget), rel=1e-12)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_convex_errors_are_shared_out_best_though_few_widths_are_tried(bits):
    random = np.random.default_rng(bits)
    sizes = {name: int(random.integers(300, 5000)) for name in "abcde"}
    scales = {name: float(random.exponential() * size) for name, size in sizes.items()}
    tried = set()

    def error(group, width):
        tried.add((group, width))
        return scales[group] * 4.0**-width

    widths = share_out(error, sizes, bits)
    possible = np.arange(NARROWEST, WIDEST + 1)
    counts = np.array(list(sizes.values()))
    errors = np.array([[scales[name] * 4.0**-width for width in possible] for name in sizes])
    least = brute_force(errors, counts[:, None] * possible, bits * counts.sum())
    assert sum(sizes[name] * width for name, width in widths.items()) <= bits * counts.sum()
    assert sum(scales[name] * 4.0**-width for name, width in widths.items()) == pytest.approx(least, rel=1e-12)
    assert len(tried) <= len(sizes) * min(bits + 3, 7)


def test_many_groups_take_no_time():
    """7^60 choices, and sizes with no common divisor."""
    random = np.random.default_rng(1)
    sizes = {str(number): int(random.integers(10**4, 10**7)) for number in range(60)}
    scales = {name: float(random.lognormal(0, 2)) for name in sizes}
    widths = share_out(lambda group, width: scales[group] * 4.0**-width, sizes, 3)
    assert sum(sizes[name] * width for name, width in widths.items()) <= 3 * sum(sizes.values())
    assert len(set(widths.values())) > 2


def test_groups_of_zeros_take_the_least():
    assert share_out(lambda group, width: 0.0 if group == "zeros" else 4.0**-width, {"zeros": 90, "x": 10}, 3) == {
        "zeros": 2,
        "x": 8,
    }
