"""The Kullback-Leibler divergence of posteriors from the standard normal prior, and its three parts."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hvd_qgenx.tasks.vae.models.autoencoder import Posterior

LOG_2PI = math.log(2 * math.pi)


def divergence(posterior: Posterior) -> Tensor:
    """Returns KL(q(z|x) || p(z)) in nats for every image, (n,)."""
    return 0.5 * (posterior.mean.square() + posterior.log_variance.exp() - 1 - posterior.log_variance).sum(1)


def log_posterior(codes: Tensor, posterior: Posterior) -> Tensor:
    """Returns log q(z_j|x) for every dimension j; codes and posteriors broadcast."""
    scaled = (codes - posterior.mean).square() * (-posterior.log_variance).exp()
    return -0.5 * (scaled + posterior.log_variance + LOG_2PI)


def log_prior(codes: Tensor) -> Tensor:
    """Returns log p(z) for every code, (...), of codes (..., latent)."""
    return -0.5 * (codes.square() + LOG_2PI).sum(-1)


def estimate(codes: Tensor, posterior: Posterior) -> Tensor:
    """Returns log q(z|x) - log p(z) for every image, (n,), whose mean over codes is the divergence."""
    return log_posterior(codes, posterior).sum(1) - log_prior(codes)


class Parts(NamedTuple):
    """The three terms whose sum is ``estimate`` (Chen et al., 2018), each (n,)."""

    mutual_information: Tensor
    """log q(z|x) - log q(z): of the codes and the images."""
    total_correlation: Tensor
    """log q(z) - sum_j log q(z_j): dependence between dimensions of the codes."""
    dimension_wise: Tensor
    """sum_j (log q(z_j) - log p(z_j)): distance of every dimension from the prior."""


def decompose(codes: Tensor, posterior: Posterior, samples: int) -> Parts:
    """Estimates the parts from a batch, by minibatch-weighted sampling.

    log q(z_i) is estimated as log(1 / (N M) sum_j q(z_i|x_j)) over the batch of M images, and so is every
    log q(z_ik), as in equation 5 of Chen et al. (NeurIPS 2018).

    Args:
        codes: one for every image, shape (M, latent).
        posterior: of the images.
        samples: N, the number of images of the data set.
    """
    pairs = log_posterior(codes[:, None], Posterior(*(part[None] for part in posterior)))  # (code, image, dimension)
    log_count = math.log(samples * len(codes))
    joint = torch.logsumexp(pairs.sum(2), dim=1) - log_count
    marginals = (torch.logsumexp(pairs, dim=1) - log_count).sum(1)
    own = log_posterior(codes, posterior).sum(1)
    return Parts(own - joint, joint - marginals, marginals - log_prior(codes))
