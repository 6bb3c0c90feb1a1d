"""Divergences against torch's distributions, their three parts, and likelihoods."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from hvd_qgenx.tasks.vae.divergence import decompose, divergence, estimate, log_posterior, log_prior
from hvd_qgenx.tasks.vae.likelihood import Likelihood
from hvd_qgenx.tasks.vae.models.autoencoder import Posterior
from hvd_qgenx.tasks.vae.objective import terms

SAMPLES = 1000


@pytest.fixture
def posterior() -> Posterior:
    random = torch.Generator().manual_seed(0)
    return Posterior(torch.randn(7, 4, generator=random), torch.randn(7, 4, generator=random))


@pytest.fixture
def codes(posterior) -> torch.Tensor:
    return posterior.codes(torch.randn(7, 4, generator=torch.Generator().manual_seed(1)))


def normal(posterior: Posterior) -> Normal:
    return Normal(posterior.mean, (0.5 * posterior.log_variance).exp())


def test_the_divergence_is_that_of_gaussians(posterior):
    expected = kl_divergence(normal(posterior), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(posterior), expected)


def test_densities_are_those_of_gaussians(posterior, codes):
    torch.testing.assert_close(log_posterior(codes, posterior), normal(posterior).log_prob(codes))
    torch.testing.assert_close(log_prior(codes), Normal(0.0, 1.0).log_prob(codes).sum(1))


def test_the_estimate_has_the_divergence_in_the_mean(posterior):
    noise = torch.randn(20_000, 7, 4, generator=torch.Generator().manual_seed(2))
    found = torch.stack([estimate(posterior.codes(each), posterior) for each in noise])
    error = found.std(0) / math.sqrt(len(noise))
    assert bool(((found.mean(0) - divergence(posterior)).abs() < 5 * error).all())


def test_the_three_parts_are_the_estimate(posterior, codes):
    double = Posterior(*(part.double() for part in posterior))
    parts = decompose(codes.double(), double, SAMPLES)
    torch.testing.assert_close(sum(parts), estimate(codes.double(), double), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(sum(decompose(codes, posterior, SAMPLES)), estimate(codes, posterior))


def test_the_parts_are_those_of_equation_5(posterior, codes):
    """With loops over codes, images and dimensions, and torch's densities."""
    count, latent = codes.shape
    density = [[normal(posterior).log_prob(code).double()[image] for image in range(count)] for code in codes]
    parts = decompose(codes, posterior, SAMPLES)
    for i in range(count):
        joint = math.log(sum(math.exp(float(density[i][j].sum())) for j in range(count)) / (SAMPLES * count))
        marginals = sum(
            math.log(sum(math.exp(float(density[i][j][k])) for j in range(count)) / (SAMPLES * count))
            for k in range(latent)
        )
        assert float(parts.mutual_information[i]) == pytest.approx(float(density[i][i].sum()) - joint, rel=1e-4)
        assert float(parts.total_correlation[i]) == pytest.approx(joint - marginals, rel=1e-4)
        prior = float(Normal(0.0, 1.0).log_prob(codes[i]).sum())
        assert float(parts.dimension_wise[i]) == pytest.approx(marginals - prior, rel=1e-4)


def test_objectives_weight_their_parts(posterior, codes):
    reconstruction = torch.arange(7.0)
    elbo = terms("elbo", 4.0, reconstruction, codes, posterior, SAMPLES)
    assert float(elbo["loss"]) == pytest.approx(21 + 4 * float(divergence(posterior).sum()))
    assert set(elbo) == {"loss", "reconstruction", "kl"}
    found = terms("beta-tc", 6.0, reconstruction, codes, posterior, SAMPLES)
    mutual, total, dimensions = (float(part.sum()) for part in decompose(codes, posterior, SAMPLES))
    assert float(found["loss"]) == pytest.approx(21 + mutual + 6 * total + dimensions, rel=1e-5)
    assert float(found["kl"]) == pytest.approx(mutual + total + dimensions, abs=1e-3)
    plain = terms("beta-tc", 1.0, reconstruction, codes, posterior, SAMPLES)
    assert float(plain["loss"]) == pytest.approx(21 + float(estimate(codes, posterior).sum()), rel=1e-5)


def test_likelihoods_are_those_of_torch():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, 4, generator=random)
    pixels = torch.rand(3, 2, 4, 4, generator=random)
    bits = pixels.round()
    expected = -Independent(Bernoulli(logits=logits), 3).log_prob(bits)
    torch.testing.assert_close(Likelihood("bernoulli", 0.1).negative_log(logits, bits), expected)
    expected = -Independent(Normal(logits.sigmoid(), 0.3), 3).log_prob(pixels)
    torch.testing.assert_close(Likelihood("gaussian", 0.3).negative_log(logits, pixels), expected)
