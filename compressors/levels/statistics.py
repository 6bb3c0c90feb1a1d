"""Statistics of the magnitudes of a rank's vector: about 13 kB, whatever its length.

One record for every bin of u = |v_i| / ||v||_q, summed over the coordinates in it, and one for every
sampled bucket. w_n = ||v_n||_q^2 is the weight of each of the d_n coordinates of bucket n (see
``distribution``):

    bin     number of coordinates, sums of w_n, w_n u and w_n u^2
    bucket  mean and standard deviation of v_n / ||v_n||_q, and w_n d_n

Buckets of zeros count among the coordinates only, those with Inf or NaN not at all.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compressors.kernels.layout import ORDERS
from compressors.levels import Array
from compressors.levels.distribution import Histogram, TruncatedNormals

SAMPLES = 96
"""Buckets whose mean and standard deviation are sent, at most."""
OCTAVES = 20
STEPS = 16
"""Bins of an octave, of equal width; all below 2^-OCTAVES is one bin, and so is 1 itself."""
BINS = OCTAVES * STEPS + 2
CHUNK = 1 << 17
"""Coordinates that are processed at once, so that they stay in the cache."""

_SHIFT = 52 - (STEPS.bit_length() - 1)
_OFFSET = (1023 - OCTAVES) * STEPS - 1
"""The upper bits of a float64, its exponent and the first bits behind it, are the number of its bin + _OFFSET."""


def collect(vector: Tensor, bucket_size: int, norm: str) -> Array:
    """Statistics of a floating-point vector (n,) in buckets divided by ``norm``: (4 * BINS + 3 * SAMPLES,).

    Arrays of one bucket size and norm may be merged. A last, shorter bucket counts too.
    """
    values = vector.detach().float().cpu().numpy()
    bins = np.zeros((4, BINS))
    for rows in _blocks(values, bucket_size):
        u, weight = _normalise(rows, norm)
        magnitudes = np.minimum(np.abs(u), 1.0)
        bin_of = np.maximum((magnitudes.view(np.int64) >> _SHIFT) - _OFFSET, 0).ravel()
        bins[0] += np.bincount(bin_of, minlength=BINS)
        for power in range(3):
            bins[1 + power] += np.bincount(bin_of, (weight[:, None] * magnitudes**power).ravel(), BINS)
    buckets = np.zeros((3, SAMPLES))
    for i, row in enumerate(_sample(values, bucket_size)):
        u, weight = _normalise(row, norm)
        if len(u):
            buckets[:, i] = u.mean(), u.std(), weight[0] * u.size
    return np.concatenate([bins.ravel(), buckets.ravel()])


def merge(parts: Sequence[Array]) -> tuple[TruncatedNormals, Histogram]:
    """The distribution over the vectors of all parts, as a mixture of normals and as a histogram."""
    buckets = np.concatenate([part[4 * BINS :].reshape(3, SAMPLES) for part in parts], axis=1)
    return TruncatedNormals(*buckets), Histogram(_edges(), *_bins(parts)[1:])


def energy(parts: Sequence[Array]) -> float:
    """Returns the sum of the squares of all coordinates of all parts."""
    return float(_bins(parts)[3].sum())


def unweighted(parts: Sequence[Array]) -> Histogram:
    """The distribution with every coordinate counted once, for the frequencies of symbols."""
    coordinates, weight, *moments = _bins(parts)
    share = np.divide(coordinates, weight, out=np.zeros(BINS), where=weight > 0)
    return Histogram(_edges(), coordinates, *(share * moment for moment in moments))


def _blocks(values: NDArray[np.float32], bucket_size: int) -> Iterator[NDArray[np.float32]]:
    """All buckets, in matrices of one bucket a row."""
    whole = len(values) // bucket_size * bucket_size
    step = max(CHUNK // bucket_size, 1) * bucket_size
    for start in range(0, whole, step):
        yield values[start : min(start + step, whole)].reshape(-1, bucket_size)
    if whole < len(values):
        yield values[whole:].reshape(1, -1)


def _sample(values: NDArray[np.float32], bucket_size: int) -> Iterator[NDArray[np.float32]]:
    """At most SAMPLES buckets, evenly spaced from the first to the last, each a matrix of one row."""
    count = -(-len(values) // bucket_size)
    for i in np.linspace(0, count - 1, min(count, SAMPLES)).round().astype(int):
        yield values[i * bucket_size : (i + 1) * bucket_size].reshape(1, -1)


def _normalise(rows: NDArray[np.float32], norm: str) -> tuple[Array, Array]:
    """v / ||v||_q of each row whose norm is finite, 0 for a row of zeros; and ||v||_q^2."""
    wide = rows.astype(np.float64)
    norms = np.linalg.norm(wide, ORDERS[norm], axis=1)
    finite = np.isfinite(norms)
    norms = norms[finite]
    return wide[finite] / np.where(norms > 0, norms, 1)[:, None], norms**2


def _edges() -> Array:
    octaves = np.exp2(np.arange(-OCTAVES, 0.0))[:, None] * (1 + np.arange(STEPS) / STEPS)
    return np.concatenate([[0.0], octaves.ravel(), [1.0, 1.0]])


def _bins(parts: Sequence[Array]) -> Array:
    total: Array = np.sum([part[: 4 * BINS].reshape(4, BINS) for part in parts], axis=0)
    return total
