"""The distance against scipy's and torch-fidelity's; its bias against drawing samples."""

import numpy as np
import pytest
import scipy.linalg
import torch

from hvd_qgenx.scores import frechet
from hvd_qgenx.scores.frechet import Gaussian


def gaussian(dimensions: int, seed: int, rank: int | None = None) -> Gaussian:
    random = torch.Generator().manual_seed(seed)
    factor = torch.randn(dimensions, rank or dimensions, generator=random, dtype=torch.float64)
    return Gaussian(torch.randn(dimensions, generator=random, dtype=torch.float64), factor @ factor.T)


def test_distance_agrees_with_scipys_matrix_root():
    first, second = gaussian(20, 0), gaussian(20, 1)
    root = scipy.linalg.sqrtm((first.covariance @ second.covariance).numpy()).real
    expected = (first.mean - second.mean).square().sum() + (first.covariance + second.covariance).trace()
    assert frechet.distance(first, second) == pytest.approx(float(expected) - 2 * np.trace(root), rel=1e-10)


def test_distance_agrees_with_torch_fidelity(fidelity):
    first, second = gaussian(40, 0), gaussian(40, 1)
    theirs = fidelity("metric_fid").fid_statistics_to_metric(
        *({"mu": g.mean.numpy(), "sigma": g.covariance.numpy()} for g in (first, second)), verbose=False
    )
    assert frechet.distance(first, second) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-10)


def test_distance_of_singular_covariances_is_known_where_they_commute():
    turn = torch.linalg.qr(gaussian(30, 2).covariance).Q
    first, second = torch.zeros(30, dtype=torch.float64), torch.zeros(30, dtype=torch.float64)
    first[:12], second[8:20] = torch.linspace(1, 4, 12), torch.linspace(2, 9, 12)
    expected = float((first.sqrt() - second.sqrt()).square().sum())
    zero = torch.zeros(30)
    made = [Gaussian(zero, turn @ values.diag().double() @ turn.T) for values in (first, second)]
    assert frechet.distance(*made) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rank", [3, 30])
def test_distance_to_itself_is_zero(rank):
    same = gaussian(30, 3, rank)
    assert abs(frechet.distance(same, same)) < 1e-12 * float(same.covariance.trace())


def test_statistics_are_those_of_numpy_in_double_precision():
    features = torch.randn(2 * frechet.ROWS + 7, 5, generator=torch.Generator().manual_seed(0)) * 1e-2 + 1e3
    fitted = Gaussian.of(features)
    exact = features.double().numpy()
    np.testing.assert_allclose(fitted.mean, exact.mean(0), rtol=1e-14)
    np.testing.assert_allclose(fitted.covariance, np.cov(exact, rowvar=False), rtol=1e-9)


def test_bias_is_the_mean_distance_of_samples():
    """In 5 directions of 6, at the seed given; the mean of 400 distances is known to about 1.5 %."""
    scale = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.0])
    random = torch.Generator().manual_seed(0)

    def draw(count: int) -> Gaussian:
        return Gaussian.of(torch.randn(count, 6, generator=random) * scale)

    samples, real = 300, 700
    distances = [frechet.distance(draw(samples), draw(real)) for _ in range(400)]
    assert frechet.bias(scale.double().square(), samples, real) == pytest.approx(np.mean(distances), rel=0.05)


def test_bias_in_one_dimension_has_a_closed_form():
    """E (m1 - m2)^2 + E (s1 - s2)^2 = (l + l / 2) (1/n + 1/m)."""
    assert frechet.bias(torch.tensor([4.0], dtype=torch.float64), 100, 300) == pytest.approx(6 * (1 / 100 + 1 / 300))
