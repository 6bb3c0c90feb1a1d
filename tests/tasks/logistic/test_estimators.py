"""Estimates of gradients: unbiased, and functions of (seed, worker, call)."""

import math

import pytest
import torch

from hvd_qgenx.tasks.logistic.estimators import LSVRG, Full, Minibatch, Sampling
from tests.tasks.logistic.problems import points, problem

PROBLEM = problem(density=0.9)
EVERYONE = range(PROBLEM.workers)


def estimator(kind, workers=EVERYONE, batch_size=3, probability=0.3, seed=0):
    return kind(PROBLEM, workers, Sampling(batch_size, probability), seed)


@pytest.mark.parametrize(("kind", "probability"), [(Minibatch, 0.0), (LSVRG, 0.0), (LSVRG, 1.0), (LSVRG, 0.1)])
def test_estimates_are_unbiased(kind, probability):
    """Means of 4000 calls at one point, after a call elsewhere, within 4.5 standard errors."""
    reference, point = points(PROBLEM, 2)
    estimates = estimator(kind, probability=probability)
    estimates.estimate(reference)
    found = torch.stack([estimates.estimate(point) for _ in range(4000)])
    error = (found.mean(0) - PROBLEM.gradients(PROBLEM.all_of(EVERYONE), point)).abs()
    assert (error <= 4.5 * found.std(0) / math.sqrt(len(found)) + 1e-12).all()


def test_full_gradients():
    (point,) = points(PROBLEM, 1)
    found = estimator(Full, [1, 3]).estimate(point)
    assert torch.equal(found, PROBLEM.gradients(PROBLEM.all_of([1, 3]), point))


def test_the_variance_of_minibatches_is_that_of_samples_over_the_batch_size():
    (point,) = points(PROBLEM, 1)
    own = PROBLEM.gradients(PROBLEM.all_of([2]), point)
    single, batches = estimator(Minibatch, [2], 1), estimator(Minibatch, [2], 4)
    each, four = (torch.cat([e.estimate(point) for _ in range(3000)]) for e in (single, batches))
    assert float((four - own).square().sum() / (each - own).square().sum()) == pytest.approx(1 / 4, rel=0.1)


def test_l_svrg_by_the_book():
    """g = grad_B f(x) - grad_B f(w) + grad f(w), with the minibatches and the coin that the seed decides."""
    drawn, estimates, coins = estimator(Minibatch), estimator(LSVRG), estimator(LSVRG)._coins
    everything, reference = PROBLEM.all_of(EVERYONE), None
    for point in points(PROBLEM, 30):
        reference = point if reference is None else reference
        batch = drawn.draw()
        expected = (
            PROBLEM.gradients(batch, point)
            - PROBLEM.gradients(batch, reference)
            + PROBLEM.gradients(everything, reference)
        )
        torch.testing.assert_close(estimates.estimate(point), expected)
        reference = point if float(coins.next()) < 0.3 else reference


def test_l_svrg_is_exact_at_its_reference():
    (point,) = points(PROBLEM, 1)
    torch.testing.assert_close(estimator(LSVRG).estimate(point), PROBLEM.gradients(PROBLEM.all_of(EVERYONE), point))


@pytest.mark.parametrize("kind", [Minibatch, LSVRG])
def test_a_function_of_seed_worker_and_call(kind):
    everyone, some = estimator(kind, probability=0.5), estimator(kind, [1, 3], probability=0.5)
    other = estimator(kind, seed=1)
    for point in points(PROBLEM, 20):
        found = everyone.estimate(point)
        assert torch.equal(some.estimate(point), found[[1, 3]])
        different = not torch.equal(other.estimate(point), found)
    assert different


def test_passes_count_gradients_of_samples():
    """Ten samples a worker: a full pass for Full, 3/10 for minibatches of 3, twice that and references for L-SVRG."""
    for kind, probability, expected in ((Full, 0, 5), (Minibatch, 0, 1.5), (LSVRG, 0, 4), (LSVRG, 1, 9)):
        estimates = estimator(kind, probability=probability)
        for point in points(PROBLEM, 5):
            estimates.estimate(point)
        assert estimates.passes == pytest.approx(expected)


def test_usual_sampling():
    assert Sampling.usual(6414, 12) == Sampling(26, 26 * 12 / 6414)
    assert Sampling.usual(100, 12) == Sampling(1, 0.12)
    assert Sampling.usual(100, 10, batch_size=30) == Sampling(30, 1.0)
