"""L2-regularized logistic regression, split over workers."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.special import expit
from torch import Tensor

from hvd_qgenx.data.libsvm import Samples
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.logistic import kernels

DENSE = 500
"""Up to so many features, eigenvalues are those of a dense matrix."""

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class Batch(NamedTuple):
    """Samples of some workers, by their rows in the problem; a row may occur several times."""

    rows: Rows
    """The samples of the first worker, of the second, ..., end to end."""
    bounds: Rows
    """Worker j of these has ``rows[bounds[j] : bounds[j + 1]]``."""


class Problem:
    """min over x in R^d of f(x) = 1/n sum_i f_i(x) for n workers.

    f_i(x) is the mean over worker i's samples (a, y), y in {0, 1}, of log(1 + exp(<a, x>)) - y <a, x>, plus
    l2/2 ||x||^2. With shares of equal size f is the mean over all samples. Everything is float64.
    """

    def __init__(self, samples: Samples, shares: Sequence[Tensor], l2: float, normalize: bool = True) -> None:
        """
        Args:
            samples: all samples.
            shares: for every worker, the samples that it has, int64 (m,).
            l2: weight of the regularizer, positive.
            normalize: scale every sample to norm 1; samples that are 0 stay so.

        Raises:
            ConfigurationError: a share is empty, or ``l2`` is not positive.
        """
        if empty := [str(worker) for worker, share in enumerate(shares) if not len(share)]:
            noun = "worker" if len(empty) == 1 else "workers"
            raise ConfigurationError(f"the split leaves {noun} {', '.join(empty)} without samples; use fewer workers")
        if not l2 > 0:
            raise ConfigurationError(f"l2 must be positive, not {l2:g}: without it there may be no optimum")
        order = torch.cat(list(shares)).numpy()
        self.name, self.l2, self.samples = samples.name, l2, len(samples)
        """The number of samples includes those that no worker has."""
        self.sizes = np.array([len(share) for share in shares])
        """Number of samples of every worker."""
        self.starts = np.concatenate([[0], self.sizes.cumsum()])
        """Worker i has the rows from ``starts[i]`` to ``starts[i + 1]``."""
        self.features = _normalized(samples.features[order]) if normalize else samples.features[order]
        self.labels = samples.labels[order].astype(np.float64)
        self._everything = self.all_of(range(self.workers))

    @property
    def workers(self) -> int:
        """Number of workers, n."""
        return len(self.sizes)

    @property
    def dimension(self) -> int:
        """Number of features, d."""
        return int(self.features.shape[1])

    def all_of(self, workers: Sequence[int]) -> Batch:
        """Returns all samples of these workers."""
        rows = [np.arange(self.starts[worker], self.starts[worker + 1]) for worker in workers]
        return Batch(np.concatenate(rows), np.concatenate([[0], self.sizes[list(workers)].cumsum()]))

    def products(self, rows: Rows, point: Tensor) -> Array:
        """Returns <a, x> for the samples of these rows."""
        found = np.empty(len(rows))
        kernels.multiply(*self._csr, rows, point.numpy(), found)
        return found

    def slopes(self, rows: Rows, point: Tensor) -> Array:
        """Returns the derivatives of these rows' losses with respect to <a, x>."""
        slopes: Array = expit(self.products(rows, point)) - self.labels[rows]
        return slopes

    def combine(self, batch: Batch, weights: Array) -> Tensor:
        """Returns the mean of every worker's samples, each times its weight, (len(batch.bounds) - 1, d)."""
        found = np.zeros((len(batch.bounds) - 1, self.dimension))
        kernels.combine(*self._csr, *batch, weights, found)
        return torch.from_numpy(found / np.diff(batch.bounds)[:, None])

    def gradients(self, batch: Batch, point: Tensor) -> Tensor:
        """Returns every worker's gradient on its samples of a batch, (len(batch.bounds) - 1, d).

        Args:
            batch: of some workers.
            point: of all of them, (d,), or one of each, (len(batch.bounds) - 1, d).
        """
        slopes = self.slopes(batch.rows, point) if point.dim() == 1 else self._own_slopes(batch, point)
        return self.combine(batch, slopes).add_(point, alpha=self.l2)

    def _own_slopes(self, batch: Batch, points: Tensor) -> Array:
        """Returns the slopes of a batch's losses, those of each worker at its own point."""
        products = np.empty(len(batch.rows))
        kernels.multiply_own(*self._csr, *batch, points.numpy(), products)
        slopes: Array = expit(products) - self.labels[batch.rows]
        return slopes

    def value(self, point: Tensor) -> float:
        """Returns f(x)."""
        products = self.products(self._everything.rows, point)
        losses = np.logaddexp(0, products) - self.labels * products
        return float((losses * self._weights).sum()) + self.l2 / 2 * float(point @ point)

    def gradient(self, point: Tensor) -> Tensor:
        """Returns the gradient of f, (d,)."""
        return self.gradients(self._everything, point).mean(0)

    def curvatures(self, point: Tensor) -> Array:
        """Returns the second derivatives of all losses with respect to <a, x>, which decide the Hessian."""
        probability: Array = expit(self.products(self._everything.rows, point))
        return probability * (1 - probability)

    def hessian_product(self, curvatures: Array, vector: Tensor) -> Tensor:
        """Returns the Hessian of f, where the losses have these curvatures, times a vector, (d,)."""
        products = self.products(self._everything.rows, vector)
        return self.combine(self._everything, curvatures * products).mean(0).add_(vector, alpha=self.l2)

    @cached_property
    def smoothness(self) -> float:
        """The constant L: the gradient of f is L-Lipschitz."""
        return _largest_eigenvalue(self.features, self._weights) / 4 + self.l2

    @property
    def condition(self) -> float:
        """L / l2."""
        return self.smoothness / self.l2

    def expected_smoothness(self, batch_size: int) -> float:
        """Returns the largest, over workers, expected smoothness of minibatches.

        Worker i with m samples has (m (b - 1) L_i + (m - b) Lmax_i) / (b (m - 1)), where L_i is the smoothness of
        f_i and Lmax_i the largest of its samples' (Gower et al., "SGD: general analysis and improved rates", ICML
        2019). A batch of m samples or more counts as all.
        """
        return max(self._expected_smoothness(worker, batch_size) for worker in range(self.workers))

    def _expected_smoothness(self, worker: int, b: int) -> float:
        m = int(self.sizes[worker])
        own = self.features[self.starts[worker] : self.starts[worker + 1]]
        whole = _largest_eigenvalue(own, np.full(m, 1 / m)) / 4 + self.l2
        if b >= m:
            return whole
        sample = float(_squared_norms(own).max()) / 4 + self.l2
        return (m * (b - 1) * whole + (m - b) * sample) / (b * (m - 1))

    @cached_property
    def _weights(self) -> Array:
        """The weight of each sample's loss in f."""
        return np.repeat(1 / (self.workers * self.sizes), self.sizes)

    @cached_property
    def _csr(self) -> tuple[Any, Any, Any]:
        return self.features.indptr, self.features.indices, self.features.data


def _squared_norms(features: csr_array) -> Array:
    squares: Array = features.power(2).sum(axis=1)
    return squares


def _normalized(features: csr_array) -> csr_array:
    norms = np.sqrt(_squared_norms(features))
    norms[norms == 0] = 1
    scaled = features.data / np.repeat(norms, np.diff(features.indptr))
    return csr_array((scaled, features.indices, features.indptr), shape=features.shape)


def _largest_eigenvalue(features: csr_array, weights: Array) -> float:
    """Returns the largest eigenvalue of the sum of a a^T, each times its weight."""
    dimension = features.shape[1]
    scaled = features * np.sqrt(weights)[:, None]
    if dimension <= DENSE:
        return float(np.linalg.eigvalsh((scaled.T @ scaled).toarray())[-1])
    gram = LinearOperator((dimension, dimension), matvec=lambda vector: scaled.T @ (scaled @ vector), dtype=np.float64)
    return float(eigsh(gram, k=1, v0=np.ones(dimension), return_eigenvectors=False)[0])
