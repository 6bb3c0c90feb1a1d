"""Newton's method against scikit-learn and scipy, and its certificate."""

import numpy as np
import pytest
import torch
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from hvd_qgenx.errors import TrainingError
from hvd_qgenx.tasks.logistic import optimum as module
from hvd_qgenx.tasks.logistic.optimum import find_optimum
from tests.tasks.logistic.problems import points, problem


@pytest.mark.parametrize("l2", [1e-3, 0.1, 10.0])
def test_against_scikit_learn(l2):
    found = problem(l2=l2)
    other = LogisticRegression(C=1 / (l2 * len(found.labels)), fit_intercept=False, tol=1e-12, solver="newton-cholesky")
    other.fit(found.features.toarray(), found.labels)
    optimum = find_optimum(found)
    assert optimum.point.numpy() == pytest.approx(other.coef_[0], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("split", ["contiguous", "dirichlet"])
def test_against_scipy(split):
    found = problem(split=split, l2=1e-2)
    other = optimize.minimize(
        lambda x: found.value(torch.from_numpy(x)),
        np.ones(found.dimension),
        jac=lambda x: found.gradient(torch.from_numpy(x)).numpy(),
        tol=1e-12,
    )
    optimum = find_optimum(found)
    assert optimum.value <= other.fun + 1e-15
    assert optimum.point.numpy() == pytest.approx(other.x, abs=1e-6)


def test_the_certificate_holds_for_any_point():
    found = problem(l2=0.02)
    best = find_optimum(found)
    assert best.gradient_norm < 1e-14
    for point in points(found, 20, scale=0.1) + best.point:
        norm = float(torch.linalg.vector_norm(found.gradient(point)))
        claimed = module.Optimum(point, found.value(point), norm, found.l2)
        assert found.value(point) - best.value <= claimed.value_error
        assert float(torch.linalg.vector_norm(point - best.point)) <= claimed.distance_error


@pytest.mark.parametrize("settings", [{"l2": 1e-7}, {"l2": 1e-6, "features": 80}, {"l2": 1e3, "normalize": False}])
def test_steps_are_damped_where_newtons_would_not_converge(settings):
    """Separable samples have their optimum far away, where the Hessian at 0 is of no use."""
    best = find_optimum(problem(workers=1, density=1.0, **settings))
    assert best.gradient_norm < 1e-12


def test_giving_up_is_said(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 1)
    with pytest.raises(TrainingError, match=r"no optimum of random after 1 Newton steps .*use a larger --l2"):
        find_optimum(problem())
