"""Distributions to fit levels to."""

import numpy as np

from compressors.levels.distribution import Histogram, TruncatedNormals

GAUSSIAN_BUCKET = TruncatedNormals(np.zeros(1), np.full(1, 1 / 32), np.ones(1))
"""A bucket of 1024 normal coordinates divided by its L2 norm."""
EVEN = Histogram(np.array([0.0, 1.0]), np.ones(1), np.array([1 / 2]), np.array([1 / 3]))
"""Uniform on [0, 1]."""


def from_values(values, edges=None):
    """A histogram of values in [0, 1]; by default in 50 bins."""
    edges = np.linspace(0, 1, 51) if edges is None else edges
    bins = (np.searchsorted(edges, values, side="right") - 1).clip(max=len(edges) - 2)
    return Histogram(edges, *(np.bincount(bins, values**k, len(edges) - 1) for k in range(3)))


def random_normals(random):
    n = random.integers(1, 9)
    return TruncatedNormals(
        random.uniform(-1, 1, n) * random.integers(0, 2), 10.0 ** random.uniform(-4, 0, n), random.exponential(size=n)
    )


def random_histogram(random):
    """Many or few values, spread over all scales or not, often with many zeros or ones."""
    values = random.beta(*10.0 ** random.uniform(-1, 1.5, 2), size=random.choice([1, 2, 5, 300]))
    values[random.random(len(values)) < random.choice([0, 0.5])] = random.integers(0, 2)
    return from_values(values, np.append(0, np.geomspace(1e-5, 1, random.integers(2, 200))))
