"""Random rounding: unbiased, small, by its scale, and at its cost."""

import math

import numpy as np
import pytest
import torch

from hvd_qgenx.tasks.logistic.averaging import Iteration
from hvd_qgenx.tasks.logistic.estimators import LSVRG, Sampling
from hvd_qgenx.tasks.logistic.methods import VR_INT_DIANA
from hvd_qgenx.tasks.logistic.rounding import NATURAL_VARIANCE, Adaptive, Heuristic, Natural, width
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport import inprocess
from tests.tasks.logistic.problems import problem

VECTORS = torch.randn(4, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
KINDS = [Adaptive, Heuristic, Natural]
STEP = torch.full((50,), 0.1, dtype=torch.float64)


def averaging(kind, seed=0):
    return kind(Workers(4, inprocess.InProcess()), 50, seed)


def iteration(number=1, step=STEP):
    return Iteration(number, 1.0, step)


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_is_unbiased(kind):
    """Means of 2000 iterations within 4.5 standard errors; the margin is for coordinates hardly ever rounded up."""
    rounds = averaging(kind)
    found = torch.stack([rounds.mean(VECTORS, iteration(k)).sent for k in range(1, 2001)])
    error = (found.mean(0) - VECTORS).abs()
    assert (error <= 4.5 * found.std(0) / math.sqrt(len(found)) + 3e-3).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_that_of_what_is_sent(kind):
    for k in range(3):
        averaged = averaging(kind).mean(VECTORS, iteration(k))
        torch.testing.assert_close(averaged.mean, averaged.sent.mean(0))


def test_rounding_depends_on_seed_worker_iteration_and_coordinate():
    same = torch.full_like(VECTORS, 0.3)
    first, other, later = (averaging(Adaptive, s).mean(same, iteration(k)).sent for s, k in ((0, 1), (1, 1), (0, 2)))
    assert torch.equal(averaging(Adaptive).mean(same, iteration(1)).sent, first)
    assert len({tuple(row.tolist()) for row in (*first, *other, *later)}) == 12
    assert len(first[0].unique()) > 1


def test_integers_cost_their_width_and_the_width_of_their_sum():
    """With n = 4, d = 50 and 4 + 5 bits, (n - 1)/n d (4 + 5)/8 bytes."""
    vectors = torch.zeros_like(VECTORS)
    vectors[:, 0] = torch.tensor([-7.0, -4.0, 1.0, 0.0])
    step = STEP * 50**0.5 / (math.sqrt(8) * float(torch.linalg.vector_norm(STEP)))
    averaged = averaging(Adaptive).mean(vectors, iteration(step=step))
    assert (averaged.largest_integer, averaged.largest_sum) == (7, 10)
    assert averaged.bytes_sent == 3 * 50 * (4 + 5) // (8 * 4)


def test_the_first_iteration_is_exact_and_costs_floats():
    averaged = averaging(Adaptive).mean(VECTORS, iteration(0, torch.zeros_like(STEP)))
    assert torch.equal(averaged.sent, VECTORS)
    assert (averaged.bytes_sent, averaged.largest_integer) == (2 * 3 * 400 // 4, 0)


def test_the_heuristic_scale_makes_the_largest_magnitude_256():
    averaged = averaging(Heuristic).mean(VECTORS, iteration(0))
    assert averaged.largest_integer == 256
    bits = 10 + width(averaged.largest_sum)
    assert averaged.bytes_sent == 3 * 50 * bits // (8 * 4) + 2 * 3 * 8 // 4


def test_natural_compression_sends_a_neighbouring_power_of_two():
    rounds = averaging(Natural)
    powers = [rounds.mean(VECTORS, iteration(k)).sent for k in range(1, 30)]
    for sent in powers:
        assert torch.equal(sent.sign(), VECTORS.sign())
        assert torch.equal(sent.abs().log2(), sent.abs().log2().round())
        assert (sent / VECTORS > 0.5).all()
        assert (sent / VECTORS <= 2).all()
    exact = torch.tensor([[0.0, 1.0, -0.25, 2.0**-127, 2.0**-126] * 10] * 4, dtype=torch.float64)
    assert rounds.mean(exact, iteration()).sent[0, :5].tolist() == [0, 1, -0.25, 0, 2.0**-126]


def test_natural_compression_has_its_variance_and_its_cost():
    """Midway between powers, the variance is omega times the square."""
    midway = torch.full_like(VECTORS, 1.5)
    rounds = averaging(Natural)
    averaged = [rounds.mean(midway, iteration(k)) for k in range(1, 1001)]
    variance = torch.stack([each.sent for each in averaged]).var()
    assert float(variance) == pytest.approx(0.25, rel=0.02)
    assert float(variance) / 1.5**2 <= NATURAL_VARIANCE
    assert averaged[0].bytes_sent == 3 * 57


@pytest.mark.parametrize("vectors", [VECTORS, 0 * VECTORS, 1e-300 * VECTORS])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_length_0_and_tiny_vectors(kind, vectors):
    averaged = averaging(kind).mean(vectors, iteration(step=0 * STEP))
    assert averaged.mean.isfinite().all()
    assert (averaged.mean - vectors.mean(0)).abs().max() <= vectors.abs().max() + 1e-3


def test_int_diana_against_a_recursion_in_numpy():
    """x, h_i, h and alpha by the book, with numpy's arithmetic and the random numbers that the seed decides."""
    found, sampling, lr, n = problem(split="sorted"), Sampling(2, 0.3), 0.5, 4
    workers = Workers(n, inprocess.InProcess())
    uniforms, estimator = Adaptive(workers, 6, 3), LSVRG(found, range(n), sampling, 3)
    product, product_estimator = VR_INT_DIANA.averaging(workers, 6, 3), LSVRG(found, range(n), sampling, 3)
    x, before, h_own, h = np.zeros(6), None, np.zeros((n, 6)), np.zeros(6)
    point, step = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    for k in range(60):
        q, alpha = estimator.estimate(torch.from_numpy(x)).numpy() - h_own, 1.0
        if before is not None:
            alpha = lr * math.sqrt(6) / (math.sqrt(2 * n) * np.linalg.norm(x - before))
            magnitude = np.abs(alpha * q)
            u = uniforms.uniform(Iteration(k, lr, step)).numpy()
            up = np.where(q > 0, u >= 1 - magnitude % 1, u < magnitude % 1)
            q = np.sign(q) * (np.floor(magnitude) + up)
        h_own = h_own + q / alpha
        h = h + q.sum(0) / (n * alpha)
        before, x = x, x - lr * h
        averaged = product.mean(product_estimator.estimate(point), Iteration(k, lr, step))
        step = -lr * averaged.mean
        point = point + step
        assert point.numpy() == pytest.approx(x, rel=1e-9, abs=1e-12)
