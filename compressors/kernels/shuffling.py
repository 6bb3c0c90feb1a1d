"""Random subsets, in plain torch."""

import torch
from torch import Tensor


def shuffle(swaps: Tensor, length: int) -> Tensor:
    """Returns the front of a permutation of the places 0 to ``length`` - 1, for every row of ``swaps`` (int64).

    Column i of ``swaps`` is a place from i on; after i earlier swaps the numbers at places i and this one change.
    """
    places = torch.arange(length, device=swaps.device).repeat(len(swaps), 1)
    for step in range(swaps.shape[1]):
        chosen = swaps[:, step : step + 1]
        number = places.gather(1, chosen)
        places.scatter_(1, chosen, places[:, step : step + 1].clone())
        places[:, step : step + 1] = number
    return places[:, : swaps.shape[1]].contiguous()
