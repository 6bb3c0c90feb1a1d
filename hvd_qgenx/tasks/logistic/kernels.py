"""Products with rows of a sparse matrix, compiled by Numba.

Sums are taken in the order of a row's entries, so a row's bits do not depend on the rows beside it.
"""

from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def multiply(indptr, indices, data, rows, point, out):
    """Puts the products of some rows of a CSR matrix with a point into ``out``, (rows,)."""
    for place in range(len(rows)):
        total = 0.0
        for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
            total += data[entry] * point[indices[entry]]
        out[place] = total


@njit(cache=True, nogil=True, error_model="numpy")
def combine(indptr, indices, data, rows, bounds, weights, out):
    """Adds to ``out[j]``, (groups, columns), the weighted sum of ``rows[bounds[j]:bounds[j + 1]]``."""
    for group in range(len(bounds) - 1):
        for place in range(bounds[group], bounds[group + 1]):
            weight = weights[place]
            for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                out[group, indices[entry]] += weight * data[entry]


@njit(cache=True, nogil=True, error_model="numpy")
def multiply_own(indptr, indices, data, rows, bounds, points, out):
    """Puts the products of ``rows[bounds[j]:bounds[j + 1]]`` with ``points[j]``, (groups, columns), into ``out``."""
    for group in range(len(bounds) - 1):
        for place in range(bounds[group], bounds[group + 1]):
            total = 0.0
            for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
                total += data[entry] * points[group, indices[entry]]
            out[place] = total
