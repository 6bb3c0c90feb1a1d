"""The factor that bounds the variance of a level set on every vector."""

from compressors.kernels.layout import ORDERS
from compressors.levels import Array


def epsilon(levels: Array, dimension: int, norm: str) -> float:
    """epsilon_Q: for every v of ``dimension`` coordinates in one bucket, E||Q(v) - v||^2 <= epsilon_Q ||v||^2.

    Squared L2 norms on both sides, whatever ``norm`` (l1, l2 or linf) the bucket is divided by.
    Source: Q-GenX, section 3. With u = |v_i| / ||v||_q, the variance of coordinate i is
    ||v||_q^2 (b - u)(u - a) between levels a < b, and

    - if a > 0, (b - u)(u - a) / u^2 is greatest at u = 2ab / (a + b), where it is
      (b - a)^2 / 4ab = (r + 1/r) / 4 - 1/2 with r = b/a. This increases with r > 1;
    - the k <= d coordinates between 0 and l, the least level above 0, cost together
      l ||v||_q sum |v_i| - sum v_i^2 <= A ||v|| x - x^2, where x^2 is the sum of their squares and
      A = l d^(1/m) with m = min(q, 2), because sum |v_i| <= sqrt(d) x and
      ||v||_q <= d^(1/m - 1/2) ||v||. Over 0 <= x <= ||v|| the greatest value is A^2 / 4 ||v||^2 if A < 2,
      at x = A ||v|| / 2, and (A - 1) ||v||^2 otherwise;
    - without a zero level the coordinates below the least level l cost at most l^2 ||v||_q^2 each,
      together A^2 ||v||^2.
    """
    positive = levels[levels > 0]
    ratio = float((positive[1:] / positive[:-1]).max(initial=1.0))
    outer = (ratio + 1 / ratio) / 4 - 0.5
    reach: float = float(positive[0]) * float(dimension) ** (1 / min(ORDERS[norm], 2))
    if levels[0] > 0:
        return outer + reach**2
    return outer + (reach**2 / 4 if reach < 2 else reach - 1)
