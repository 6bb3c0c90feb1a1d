"""The loss, its gradients against autograd, its constants against dense linear algebra."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from hvd_qgenx.data.libsvm import Samples
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.logistic import problem as module
from hvd_qgenx.tasks.logistic.problem import Batch, Problem
from tests.tasks.logistic.problems import points, problem, samples


def losses(found: Problem, rows, point: torch.Tensor) -> torch.Tensor:
    """The mean loss of some rows by torch, with the regularizer."""
    features = torch.from_numpy(found.features.toarray()[rows])
    labels = torch.from_numpy(found.labels[rows])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(features @ point, labels)
    return loss + found.l2 / 2 * point @ point


def rows_of(found: Problem, worker: int) -> range:
    return range(found.starts[worker], found.starts[worker + 1])


@pytest.mark.parametrize("split", ["contiguous", "dirichlet"])
def test_value_and_gradients_are_those_of_autograd(split):
    found = problem(split=split)
    for point in points(found, 3):
        leaf = point.clone().requires_grad_()
        each = [losses(found, rows_of(found, worker), leaf) for worker in range(4)]
        assert found.value(point) == pytest.approx(float(sum(each).detach()) / 4)
        expected = torch.stack([torch.autograd.grad(loss, leaf, retain_graph=True)[0] for loss in each])
        torch.testing.assert_close(found.gradients(found.all_of(range(4)), point), expected)
        torch.testing.assert_close(found.gradient(point), expected.mean(0))


def test_gradients_of_minibatches_count_repetitions():
    found = problem()
    (point,) = points(found, 1)
    batch = Batch(np.array([3, 3, 5, 17, 11, 17]), np.array([0, 3, 6]))
    leaf = point.clone().requires_grad_()
    for gradient, rows in zip(found.gradients(batch, point), ([3, 3, 5], [17, 11, 17]), strict=True):
        torch.testing.assert_close(gradient, torch.autograd.grad(losses(found, rows, leaf), leaf)[0])


def test_hessian_products_are_those_of_autograd():
    found = problem()
    point, vector = points(found, 2)
    rows = range(len(found.labels))
    hessian = torch.autograd.functional.hessian(lambda x: losses(found, rows, x), point)
    torch.testing.assert_close(found.hessian_product(found.curvatures(point), vector), hessian @ vector)


def test_a_workers_gradient_does_not_depend_on_the_others_beside_it():
    found = problem(density=0.9)
    (point,) = points(found, 1)
    together = found.gradients(found.all_of(range(4)), point)
    for workers in ([0], [3], [1, 3], [0, 2]):
        assert torch.equal(found.gradients(found.all_of(workers), point), together[workers])


@pytest.mark.parametrize("margin", [800.0, 1e6])
def test_large_margins(margin):
    """log(1 + exp(z)) - y z is z for y = 0 and 0 for y = 1; the slopes are 1 and 0."""
    two = Samples("two", csr_array(np.array([[1.0], [1.0]])), np.array([0, 1]))
    found = Problem(two, [torch.arange(2)], 1e-9)
    for sign in (1, -1):
        point = torch.tensor([sign * margin], dtype=torch.float64)
        wrong = margin / 2 + 1e-9 / 2 * margin**2
        assert found.value(point) == pytest.approx(wrong)
        assert float(found.gradient(point)[0]) == pytest.approx(sign * (0.5 + 1e-9 * margin))


def test_samples_are_scaled_to_norm_1():
    dense = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0], [1.0, 0.0]])
    four = Samples("four", csr_array(dense), np.array([0, 1, 0, 1]))
    shares = [torch.tensor([2, 0]), torch.tensor([1, 3])]
    assert Problem(four, shares, 1.0).features.toarray() == pytest.approx(
        np.array([[0, -1], [0.6, 0.8], [0, 0], [1, 0]])
    )
    assert Problem(four, shares, 1.0, normalize=False).features.toarray()[1].tolist() == [3, 4]


@pytest.mark.parametrize("dense", [500, 1])
@pytest.mark.parametrize("split", ["contiguous", "dirichlet"])
def test_smoothness_is_the_largest_eigenvalue(dense, split, monkeypatch):
    monkeypatch.setattr(module, "DENSE", dense)
    found = problem(split=split, normalize=False)
    grams = []
    for worker in range(4):
        own = found.features.toarray()[rows_of(found, worker)]
        grams.append(own.T @ own / len(own))
    largest = np.linalg.eigvalsh(sum(grams) / 4)[-1]
    assert found.smoothness == pytest.approx(largest / 4 + 0.05)
    assert found.condition == pytest.approx(found.smoothness / 0.05)


def test_expected_smoothness_by_its_formula():
    """Lb = m/(m-1) (1 - 1/b) L_i + (m/b - 1)/(m-1) Lmax_i: Lmax_i for single samples, L_i for all."""
    found, m = problem(normalize=False), 10
    own = [found.features.toarray()[rows_of(found, worker)] for worker in range(4)]
    whole = [np.linalg.eigvalsh(part.T @ part / m)[-1] / 4 + 0.05 for part in own]
    single = [np.square(part).sum(1).max() / 4 + 0.05 for part in own]
    for b in (1, 3, 10):
        formula = [
            m / (m - 1) * (1 - 1 / b) * one + (m / b - 1) / (m - 1) * other
            for one, other in zip(whole, single, strict=True)
        ]
        assert found.expected_smoothness(b) == pytest.approx(max(formula))
    assert found.expected_smoothness(99) == pytest.approx(max(whole))


@pytest.mark.parametrize(
    ("sizes", "l2", "sentence"),
    [
        ((3, 0, 2, 0), 1.0, "the split leaves workers 1, 3 without samples; use fewer workers"),
        ((3, 0), 1.0, "the split leaves worker 1 without samples"),
        ((3, 3), 0.0, "l2 must be positive, not 0"),
        ((3, 3), math.nan, "l2 must be positive, not nan"),
    ],
)
def test_problems_without_a_solution_are_refused(sizes, l2, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Problem(samples(), [torch.arange(size) for size in sizes], l2)
