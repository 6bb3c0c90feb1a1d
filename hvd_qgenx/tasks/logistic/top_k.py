"""An averaging that sends the largest coordinates only."""

import torch
from torch import Tensor

from hvd_qgenx.tasks.logistic.averaging import Averaged, Averaging, Iteration

KEPT = 1 / 10
"""Part of the coordinates that is kept."""
ENTRY_BYTES = 8 + 4
"""Bytes of a float64 and its index."""


class TopK(Averaging):
    """Keeps the largest magnitudes of each vector, exactly; every worker receives the others'.

    Of equal magnitudes, those with lower indices are kept.
    """

    def mean(self, vectors: Tensor, iteration: Iteration) -> Averaged:
        kept = kept_of(self.dimension)
        places = vectors.abs().sort(dim=1, descending=True, stable=True).indices[:, :kept]
        sent = torch.zeros_like(vectors).scatter_(1, places, vectors.gather(1, places))
        bytes_sent = (self.workers.count - 1) * kept * ENTRY_BYTES
        return Averaged(self.workers.sum(sent) / self.workers.count, sent, bytes_sent)


def kept_of(dimension: int) -> int:
    """Returns the number of coordinates that are kept, at least 1."""
    return max(1, int(KEPT * dimension))
