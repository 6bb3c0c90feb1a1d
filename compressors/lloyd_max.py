"""Lloyd-Max: the points that represent a standard normal variable with least squared error."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

GRAIN = 2.0**-16
"""Points are multiples of this, so that every host has the same bits."""


class Codebook(NamedTuple):
    """The points of a number of bits, and what they cost."""

    points: tuple[float, ...]
    """Increasing, symmetric about 0."""
    distortion: float
    """E(X - q(X))^2 for X of N(0, 1), q taking the nearest point."""


@lru_cache
def codebook(bits: int) -> Codebook:
    """2^bits points. Source: Max, "Quantizing for minimum distortion" (1960); Lloyd (1957, 1982).

    Every point is the mean of what is nearest to it; Newton's method solves that. Starts from the
    quantiles of the density to the power 1/3, which is right for many points (Panter and Dite, 1951).
    """
    count = 2**bits
    points = np.sqrt(3) * ndtri((np.arange(count) + 0.5) / count)
    for _ in range(100):
        centroids, jacobian = _centroids(points)
        step = solve_banded((1, 1), jacobian, points - centroids)
        points = points - step
        if np.abs(step).max() < 1e-14:
            break
    rounded = np.round((points - points[::-1]) / 2 / GRAIN) * GRAIN
    return Codebook(tuple(rounded.tolist()), _distortion(rounded))


def _centroids(points: Array) -> tuple[Array, Array]:
    """Mean of every cell, and the Jacobian of (points - means) in the banded form of scipy."""
    edges = np.concatenate([[-np.inf], (points[1:] + points[:-1]) / 2, [np.inf]])
    density, mass = _density(edges), np.diff(ndtr(edges))
    centroids = -np.diff(density) / mass
    inner = slice(1, -1)
    by_lower = density[inner] * (centroids[1:] - edges[inner]) / mass[1:] / 2
    by_upper = density[inner] * (edges[inner] - centroids[:-1]) / mass[:-1] / 2
    jacobian = np.zeros((3, len(points)))
    jacobian[1] = 1
    jacobian[1, 1:] -= by_lower
    jacobian[1, :-1] -= by_upper
    jacobian[0, 1:] = -by_upper
    jacobian[2, :-1] = -by_lower
    return centroids, jacobian


def _density(x: Array) -> Array:
    """Returns the density of the standard normal distribution."""
    density: Array = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return density


def _distortion(points: Array) -> float:
    """1 - 2 E[X q(X)] + E[q(X)^2]."""
    edges = np.concatenate([[-np.inf], (points[1:] + points[:-1]) / 2, [np.inf]])
    density, mass = _density(edges), np.diff(ndtr(edges))
    return float(1 + 2 * (points * np.diff(density)).sum() + (points**2 * mass).sum())
