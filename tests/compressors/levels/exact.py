"""What the tests hold the closed forms to: sums over coordinates, one by one."""

import numpy as np

ORDERS = {"l1": 1, "l2": 2, "linf": np.inf}


def variances(levels, u):
    """E(q(u) - u)^2 of magnitudes u in [0, 1]: the distances to the levels beside it, multiplied."""
    signed = levels if levels[0] == 0 else np.append(-levels[0], levels)
    upper = np.searchsorted(signed, u).clip(1, len(signed) - 1)
    return (signed[upper] - u) * (u - signed[upper - 1])


def squared_error(levels, vector, bucket_size, norm):
    """E||Q(v) - v||^2 of a vector in buckets."""
    total = 0.0
    for start in range(0, len(vector), bucket_size):
        bucket = np.abs(vector[start : start + bucket_size].astype(np.float64))
        scale = np.linalg.norm(bucket, ORDERS[norm])
        if scale > 0:
            total += scale**2 * variances(levels, np.minimum(bucket / scale, 1)).sum()
    return total
