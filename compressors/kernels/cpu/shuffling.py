"""Random subsets, for CPU tensors."""

import numpy as np

from compressors.kernels.cpu.lanes import kernel


@kernel
def shuffle(swaps, places, out, first, last):
    """Shuffles rows from ``first`` to before ``last``; ``places``: room for a row."""
    for row in range(first, last):
        for i in range(len(places)):
            places[i] = np.int32(i)
        for i in range(swaps.shape[1]):
            chosen = swaps[row, i]
            out[row, i] = places[chosen]
            places[chosen] = places[i]
