"""The Fréchet distance between Gaussians, and its mean between samples of the same one."""

from functools import cached_property

import torch
from torch import Tensor

ROWS = 1000
"""Number of features summed at once; bounds memory."""


class Gaussian:
    """A mean and a covariance in float64."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        """
        Args:
            mean: shape (d,).
            covariance: shape (d, d); may be singular.
        """
        self.mean, self.covariance = mean.double(), covariance.double()

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """Fits a Gaussian to features, shape (n, d) with n at least 2; the covariance divides by n - 1."""
        mean = torch.stack([rows.double().sum(0) for rows in features.split(ROWS)]).sum(0) / len(features)
        scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for rows in features.split(ROWS):
            centred = rows.double() - mean
            scatter += centred.T @ centred
        return cls(mean, scatter / (len(features) - 1))

    @cached_property
    def eigenvalues(self) -> Tensor:
        """Eigenvalues of the covariance, clamped at zero against rounding."""
        return self._eigen[0]

    @cached_property
    def root(self) -> Tensor:
        """A matrix R with R R^T = covariance."""
        values, vectors = self._eigen
        return vectors * values.sqrt()

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.covariance)
        return values.clamp(min=0), vectors


def distance(first: Gaussian, second: Gaussian) -> float:
    """Returns |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau, 1982; Heusel et al., 2017).

    With S = R R^T the trace of (S1 S2)^(1/2) is the sum of the singular values of R1^T R2. This avoids the roots of
    the eigenvalues of a product, where an eigenvalue that should be zero adds the root of its rounding error.
    """
    shift = first.mean - second.mean
    overlap = torch.linalg.svdvals(first.root.T @ second.root).sum()
    return float(shift @ shift + first.covariance.trace() + second.covariance.trace() - 2 * overlap)


def bias(eigenvalues: Tensor, samples: int, real: int) -> float:
    """Returns the mean distance between ``samples`` and ``real`` draws from the same Gaussian.

    To second order in the fluctuations: (1/samples + 1/real) (tr S + 1/2 sum_ij (1 + [i = j]) l_i l_j / (l_i + l_j)),
    where l_i are the eigenvalues of the covariance S. The first term is the mean's; the second follows from
    tr(S + T - 2 (S T)^(1/2)) = 1/2 sum_ij E_ij^2 / (l_i + l_j) + O(E^3) for T = S + E in the eigenbasis of S, and
    from the variance (1 + [i = j]) l_i l_j / n of the entries of a Wishart matrix.
    """
    positive = eigenvalues[eigenvalues > eigenvalues.max() * torch.finfo(eigenvalues.dtype).eps]
    products = positive.outer(positive) / (positive[:, None] + positive)
    fluctuation = positive.sum() + (products.sum() + products.trace()) / 2
    return float(fluctuation * (1 / samples + 1 / real))
