"""The largest coordinates of rows: the definition, in plain torch."""

import torch
from torch import Tensor


def largest(rows: Tensor, count: int) -> Tensor:
    """Returns the places of the largest magnitudes of every row, increasing, int32 (rows, count).

    Of equal ones those that come first. NaN counts as larger than all numbers.

    Args:
        rows: (number, length) float32, float16 or bfloat16.
        count: at most the length.
    """
    length = rows.shape[1]
    words = (rows.float().view(torch.int32) & 0x7FFFFFFF).long() << 32
    words |= torch.arange(length - 1, -1, -1, device=rows.device)
    chosen = words.topk(count, dim=1, sorted=False).values & 0xFFFFFFFF
    return (length - 1 - chosen).sort(dim=1).values.int()
