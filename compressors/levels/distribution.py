"""Distributions of the normalised magnitudes u = |v_i| / ||v||_q of a vector in buckets.

Bucket n counts with w_n = ||v_n||_q^2, in proportion to the paper's lambda_n. Then the
expected variance of a level set is the true error: coordinate i of bucket n is off by
||v_n||_q^2 s(u_i) in expectation, with s(u) = (b - u)(u - a) between two levels a and b, so that

    E||Q(v) - v||_2^2 = sum_n w_n sum_i s(u_i) = W * integral of s dF,    W = sum_n w_n d_n,
    ||v||_2^2         = sum_n w_n sum_i u_i^2  = W * integral of u^2 dF,

where F gives every coordinate of bucket n the mass w_n / W, d_n of them. The relative error of a
whole vector is thus a quotient of two integrals over F.

The cost of levels follows from the *partial moments* M_k(x) = integral of u^k dF over [0, x],
k = 0, 1, 2.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from compressors.levels import Array


class Distribution(ABC):
    """A distribution on [0, 1]; empty, without any mass, if only zeros were seen."""

    @abstractmethod
    def moments(self, x: ArrayLike) -> Array:
        """Returns M_0, M_1 and M_2 at each of ``x`` (n,) in [0, 1]: (3, n)."""

    @abstractmethod
    def histogram(self) -> "Histogram":
        """The distribution in bins, all three moments of every bin kept; levels are fitted on this."""

    @property
    def empty(self) -> bool:
        return bool(self.moments([1.0])[0, 0] == 0)


class Histogram(Distribution):
    """Bins with a mass and two moments each.

    Levels at edges cost exactly what they cost on the values themselves. Inside a bin the mass lies
    evenly on both sides of the bin's mean, in proportions that give this mean, drawn in towards the
    mean (if the second moment is small) or partly moved out to the edges (if it is great) until the
    second moment is right too.
    """

    def __init__(self, edges: Array, mass: Array, first: Array, second: Array) -> None:
        """``edges`` (n + 1,), not decreasing, from 0 to 1; the others (n,), of any total mass."""
        total = mass.sum()
        self.edges = edges
        self.mass = mass / total if total > 0 else np.zeros_like(mass)
        low, high = edges[:-1], edges[1:]
        divisor = np.where(mass > 0, mass, 1)
        mean = np.clip(first / divisor, low, high)
        most = (mean - low) * (high - mean)  # the variance with all mass at the edges; spread evenly, it is a third
        spread = np.clip(_ratio(second / divisor - mean**2, most), 0, 1)
        shrunk = np.sqrt(np.minimum(3 * spread, 1))
        moved = np.maximum(1.5 * spread - 0.5, 0)
        above = _ratio(mean - low, high - low)

        bins = [low, low, mean - shrunk * (mean - low), mean, mean + shrunk * (high - mean), high, high]
        inner, outer, none = (1 - moved) * self.mass, moved * self.mass, np.zeros_like(mass)
        shares = [(1 - above) * outer, none, (1 - above) * inner, above * inner, none, above * outer, none]
        self._knots = np.stack(bins, axis=1).ravel()
        pieces = np.stack(shares, axis=1).ravel()  # the mass from each knot to the next
        ends = np.append(self._knots[1:], self._knots[-1:])
        self._density = _ratio(pieces, ends - self._knots)
        whole = pieces * np.stack([np.ones_like(ends), *_powers(self._knots, ends)])
        self._cumulated = np.cumsum(whole, axis=1) - whole

    def moments(self, x: ArrayLike) -> Array:
        x = np.asarray(x, dtype=np.float64)
        i = np.searchsorted(self._knots, x, side="right") - 1
        knot = self._knots[i]
        part = self._density[i] * (x - knot)
        moments: Array = self._cumulated[:, i] + part * np.stack([np.ones_like(x), *_powers(knot, x)])
        return moments

    def quantile(self, mass: ArrayLike) -> Array:
        """Returns the points at which M_0 reaches each of ``mass``."""
        return np.interp(np.asarray(mass, dtype=np.float64), self._cumulated[0], self._knots)

    def histogram(self) -> "Histogram":
        return self


class TruncatedNormals(Distribution):
    """Magnitudes of a mixture of normals truncated to [-1, 1] (Faghri et al.).

    Closed forms. A normal narrower than 1e-6 counts as one of that width.
    """

    BINS = 2048
    CHUNK = 64

    def __init__(self, mean: Array, std: Array, mass: Array) -> None:
        """The parameters of each normal, means in [-1, 1], and masses of any total: all (n,)."""
        self.mean, self.std = mean[mass > 0], np.maximum(std[mass > 0], 1e-6)
        inside = ndtr((1 - self.mean) / self.std) - ndtr((-1 - self.mean) / self.std)
        self._scale = mass[mass > 0] / mass.sum() / inside

    def moments(self, x: ArrayLike) -> Array:
        x = np.asarray(x, dtype=np.float64)[:, None]
        total = np.zeros((3, len(x)))
        for start in range(0, len(self.mean), self.CHUNK):
            chunk = slice(start, start + self.CHUNK)
            mean, std = self.mean[chunk], self.std[chunk]
            total += (_normal_moments(x, mean, std) + _normal_moments(x, -mean, std)) @ self._scale[chunk]
        return total

    def histogram(self) -> Histogram:
        """Bins of equal ratio, from well below the narrowest normal's scale on."""
        if not len(self.mean):
            return Histogram(np.array([0.0, 1.0]), *np.zeros((3, 1)))
        edges = np.concatenate([[0.0], np.geomspace(min(self.std.min(), 1) / 64, 1, self.BINS)])
        return Histogram(edges, *np.maximum(np.diff(self.moments(edges)), 0))


def _normal_moments(x: Array, mean: Array, std: Array) -> Array:
    """Integrals of v^k, k = 0, 1, 2, under the normal density from 0 to x."""
    low, high = -mean / std, (x - mean) / std
    mass = ndtr(high) - ndtr(low)
    at_zero, at_x = (std * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) for z in (low, high))
    first = mean * mass - (at_x - at_zero)
    second = (mean**2 + std**2) * mass - ((x + mean) * at_x - mean * at_zero)
    return np.stack([mass, first, second])


def _powers(low: Array, high: Array) -> tuple[Array, Array]:
    """Means of u and of u^2 over an interval."""
    return (low + high) / 2, (low**2 + low * high + high**2) / 3


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
