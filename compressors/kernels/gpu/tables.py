"""Look-up tables of programs: values of codes, and places of blocks of variable width."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from compressors.kernels.layout import Layout


@lru_cache(maxsize=64)
def tables(layouts: tuple[Layout, ...], device: torch.device) -> Tensor:
    """For every layout with points 2^bits places for these, and as many for the edges from which on each is chosen.

    It is chosen as the lower neighbour of a coordinate, or as the nearest. Places left over have the last point, so
    that any code has a value, and NaN, which no coordinate reaches.
    """
    found = [torch.empty(0)]
    for layout in layouts:
        points = torch.tensor(layout.points, dtype=torch.float32)
        nearest = torch.cat([points[:1], (points[1:] + points[:-1]) / 2])
        edges = nearest if layout.norm == "projection" else points[:-1]
        table = torch.full((2, 2**layout.bits), math.nan)
        table[0] = layout.points[-1]
        table[0, : len(points)] = points
        table[1, : len(edges)] = edges
        found.append(table.flatten())
    return torch.cat(found).to(device)


def places(widths: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Returns the starts of the header and codes of every block of variable width in the body; does not synchronize."""
    sizes = torch.arange(1, 9, device=widths.device)
    chosen = widths.unsqueeze(1) == sizes
    counts, sizes = chosen.sum(dim=0), sizes * (length // 8)
    starts = (counts * (4 + sizes)).cumsum(dim=0) - counts * (4 + sizes)
    ranks = chosen.cumsum(dim=0) - 1
    headers, codes = starts + 4 * ranks, starts + 4 * counts + sizes * ranks
    width = (widths.long() - 1).clamp(0, 7).unsqueeze(1)
    return headers.gather(1, width).squeeze(1), codes.gather(1, width).squeeze(1)
