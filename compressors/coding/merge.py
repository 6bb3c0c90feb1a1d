"""Package-merge (Larmore and Hirschberg, 1990), compiled by Numba."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def package_merge(weights, limit):
    """Lengths of the best prefix code of at most ``limit`` bits, (n,) uint8, for (n,) increasing weights, n >= 2.

    A row of coins for every bit, in order of their worth: one coin for each letter, and packages of two
    coins of the row before. The 2n - 2 cheapest of the last row are bought.
    """
    n = len(weights)
    worth, before = np.empty(2 * n), np.empty(2 * n)
    is_letter = np.zeros((limit, 2 * n), np.bool_)
    size = 0
    for row in range(limit):
        packages, letter, package = size // 2, 0, 0
        worth, before = before, worth
        size = n + packages
        for place in range(size):
            price = before[2 * package] + before[2 * package + 1] if package < packages else np.inf
            if letter < n and weights[letter] <= price:
                worth[place] = weights[letter]
                is_letter[row, place] = True
                letter += 1
            else:
                worth[place] = price
                package += 1

    lengths = np.zeros(n, np.uint8)
    bought = 2 * n - 2
    for row in range(limit - 1, -1, -1):
        cheapest = is_letter[row, :bought].sum()
        lengths[:cheapest] += np.uint8(1)
        bought = 2 * (bought - cheapest)
    return lengths
