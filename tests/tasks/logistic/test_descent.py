"""Runs: rates that theory gives, the published figures of a5a, and the same records on any number of ranks."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch

from hvd_qgenx.data import samples
from hvd_qgenx.tasks.logistic.descent import descend
from hvd_qgenx.tasks.logistic.estimators import Sampling
from hvd_qgenx.tasks.logistic.methods import GD, L_SVRG, SGD, sampled_step
from hvd_qgenx.tasks.logistic.optimum import find_optimum
from hvd_qgenx.tasks.logistic.problem import Problem
from hvd_qgenx.tasks.logistic.registry import L2, METHODS
from hvd_qgenx.tasks.logistic.shares import make_shares
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport import inprocess
from tests.tasks.logistic.problems import problem

SMALL = problem(l2=0.02)
SMALL_OPTIMUM = find_optimum(SMALL)


def run(method, iterations, lr=None, seed=0, found=SMALL, optimum=SMALL_OPTIMUM, sampling=None, transport=None):
    workers = Workers(found.workers, transport or inprocess.InProcess())
    sampling = sampling or Sampling(2, 0.2)
    lr = lr or method.lr(found, sampling)
    return descend(found, method, workers, iterations, optimum, sampling, lr, seed)


def test_gradient_descent_contracts_as_theory_says():
    """With step 1/L every iteration shrinks |x - x*|^2 by 1 - l2/L at least."""
    moments = run(GD, 100).moments
    assert [moment.k for moment in moments] == list(range(101))
    factor = 1 - 1 / SMALL.condition
    for before, after in itertools.pairwise(moments[:41]):
        assert after.squared_distance <= factor * before.squared_distance


@pytest.mark.parametrize("lr", [0.5, 2.0])
def test_gradient_descent_ends_at_its_asymptotic_rate(lr):
    """Close to x* the error shrinks by the largest of |1 - lr lambda| over eigenvalues of the Hessian there."""
    curvatures = SMALL.curvatures(SMALL_OPTIMUM.point)
    columns = [SMALL.hessian_product(curvatures, unit) for unit in torch.eye(SMALL.dimension, dtype=torch.float64)]
    eigenvalues = np.linalg.eigvalsh(torch.stack(columns).numpy())
    distances = [moment.squared_distance for moment in run(GD, 100, lr).moments]
    assert distances[100] / distances[99] == pytest.approx(np.abs(1 - lr * eigenvalues).max() ** 2, rel=1e-2)


@pytest.mark.parametrize("split", ["contiguous", "sorted", "dirichlet"])
def test_l_svrg_converges_to_the_optimum_and_sgd_to_a_ball(split):
    found = problem(split=split, l2=0.02)
    optimum = find_optimum(found)
    exact, noisy = (run(method, 1500, found=found, optimum=optimum).moments for method in (L_SVRG, SGD))
    assert exact[-1].squared_distance < 1e-20
    assert 1e-5 < noisy[-1].squared_distance < noisy[0].squared_distance
    assert abs(exact[-1].gap) < 1e-15


def test_a_step_that_is_too_long_ends_the_run():
    record = run(GD, 100, lr=1e15)
    assert record.diverged_at == 1
    assert [moment.k for moment in record.moments] == [0]


def test_records_and_costs():
    moments = run(SGD, 250).moments
    assert [moment.k for moment in moments] == list(range(0, 251, 2))
    assert moments[-1].passes == pytest.approx(250 * 2 / 10)
    assert moments[-1].megabytes == pytest.approx(250 * (2 * 3 * 8 * 6 // 4) / 1e6)
    assert run(SGD, 205).moments[-1].k == 205


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_find_what_one_process_finds(name, ranks):
    method = METHODS[name]
    alone = run(method, 30)
    assert inprocess.run(ranks, lambda transport: run(method, 30, transport=transport)) == [alone] * ranks


@pytest.mark.parametrize("name", ["sgd", "l-svrg"])
def test_a_seed_decides_everything(name):
    assert run(METHODS[name], 50, seed=1) == run(METHODS[name], 50, seed=1) != run(METHODS[name], 50, seed=2)


def test_shifts_keep_integers_small():
    """With different samples on all workers, only shifts keep integers small."""
    found = problem(split="sorted", l2=0.02)
    optimum = find_optimum(found)
    plain, shifted = (
        run(METHODS[name], 2000, found=found, optimum=optimum).moments for name in ("int-gd", "int-diana")
    )
    assert shifted[-1].squared_distance < 1e-12
    assert plain[-1].largest_integer > 1000 > 30 > max(moment.largest_integer for moment in shifted)
    assert plain[-1].largest_sum < 100


def test_ef21_converges_where_error_feedback_does_not():
    """With different samples on all workers and a constant step."""
    found = problem(split="sorted", l2=0.02)
    optimum = find_optimum(found)
    ef21, memory = (run(METHODS[name], 1500, found=found, optimum=optimum).moments for name in ("ef21", "ef-topk"))
    assert ef21[-1].squared_distance < 1e-20
    assert 1e-5 < memory[-1].squared_distance < 0.1 * memory[0].squared_distance


@cache
def a5a(folder):
    found = samples.load("a5a", folder, False, inprocess.InProcess())
    made = Problem(found, make_shares("contiguous", found, 12, 0), L2["a5a"])
    return made, find_optimum(made), Sampling.usual(len(found), 12)


def test_the_published_problem(data_dir):
    made, optimum, sampling = a5a(data_dir)
    assert (made.samples, made.sizes.tolist(), made.dimension) == (6414, [534] * 12, 122)
    assert (sampling.batch_size, round(sampling.probability, 6)) == (26, 0.048644)
    assert made.smoothness == pytest.approx(0.1138953, abs=5e-8)
    assert made.condition == pytest.approx(227.79, abs=5e-3)
    assert made.expected_smoothness(26) == pytest.approx(0.1211112, abs=1e-7)
    assert sampled_step(made, sampling) == pytest.approx(3.818935, abs=5e-7)
    assert made.value(torch.zeros(122).double()) == pytest.approx(math.log(2))
    assert optimum.value == pytest.approx(0.3657067831, abs=5e-11)
    assert optimum.value_error < 1e-25
    assert float(optimum.point @ optimum.point) == pytest.approx(100.9, abs=0.05)


PUBLISHED = {
    "l-svrg": ((4.0e-2, 5.7e-6, 1.6e-9), (0, 0)),
    "vr-int-diana": ((4.0e-2, 6.1e-6, 1.8e-9), (2, 9)),
    "vr-hint-diana": ((3.9e-2, 5.5e-6, 1.5e-9), (256, 2754)),
    "vr-nat-diana": ((5.4e-1, 2.5e-3, 2.6e-5), (0, 0)),
    "int-gd": ((4.1e-2, 6.5e-6, 1.9e-9), (773_742, 13)),
    "int-sgd": ((3.0e-1, 3.0e-1, 3.8e-1), (13, 43)),
}
"""|x - x*|^2 at k = 1000, 3000 and 5000, and the largest integer and sum, of one seed."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures(name, data_dir):
    made, optimum, sampling = a5a(data_dir)
    distances, integers = PUBLISHED[name]
    moments = {moment.k: moment for moment in run(METHODS[name], 5000, None, 1, made, optimum, sampling).moments}
    found = [moments[k].squared_distance for k in (1000, 3000, 5000)]
    assert found == pytest.approx(distances, rel=0.7 if name == "int-sgd" else 0.15)
    local = max(moment.largest_integer for moment in moments.values())
    total = max(moment.largest_sum for moment in moments.values())
    assert (local, total) == pytest.approx(integers, rel=0.5)
