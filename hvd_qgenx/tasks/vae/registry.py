"""The names of objectives and likelihoods of autoencoders."""

ELBO, BETA_TC = OBJECTIVES = ("elbo", "beta-tc")
"""The negative evidence lower bound (Kingma and Welling, 2014), and that of beta-TC-VAE (Chen et al., 2018)."""

BERNOULLI, GAUSSIAN = LIKELIHOODS = ("bernoulli", "gaussian")
"""Distributions of pixels."""
