"""Distributes feature extraction over the ranks."""

from collections.abc import Callable

import torch
from torch import Tensor

from hvd_qgenx.progress import progress_bar
from hvd_qgenx.scores.extractor import Extractor, Features
from hvd_qgenx.transport import Transport

BLOCK = 100
"""Images in one pass of the extractor, for any number of ranks."""


def extract(
    extractor: Extractor,
    images: Callable[[range], Tensor],
    count: int,
    transport: Transport,
    progress: str | None = None,
) -> Features | None:
    """Returns the features of images 0 to ``count`` - 1, in this order, on rank 0; None on others. Collective.

    The images are cut into blocks, which are dealt to ranks in turn. Ranks synchronize after every block, so a slow
    rank delays the others by one block at a time, and is not taken for a stalled one.

    Args:
        extractor: the same on all ranks.
        images: returns uint8 images by their numbers, shape (n, channels, side, side).
        count: number of images.
        transport: the ranks.
        progress: title of the progress bar on rank 0; None: no bar.
    """
    blocks = [range(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    rounds = [blocks[start : start + transport.size] for start in range(0, len(blocks), transport.size)]
    gathered: list[Tensor] = []
    with progress_bar(count, progress, "image", shown=transport.rank == 0) as bar:
        for turn in rounds:
            mine = turn[transport.rank] if transport.rank < len(turn) else range(0)
            rows = _rows(extractor(images(mine))) if mine else torch.empty(0, 0)
            gathered += _to_first(transport, rows, [len(block) for block in turn])
            bar.update(sum(map(len, turn)))
    if transport.rank > 0:
        return None
    features, logits = torch.cat(gathered).split([extractor.dimensions, gathered[0].shape[1] - extractor.dimensions], 1)
    return Features(features, logits if logits.shape[1] else None)


def _rows(found: Features) -> Tensor:
    return torch.cat([part for part in found if part is not None], 1)


def _to_first(transport: Transport, rows: Tensor, lengths: list[int]) -> list[Tensor]:
    """Returns the float32 rows of every rank on rank 0, ``lengths[k]`` of rank k; rank 0 always has some."""
    others = [0] * (transport.size - 1)
    width = rows.shape[1]
    received = [length * width for length in lengths] + [0] * (transport.size - len(lengths))
    work = transport.all_to_all(
        rows.flatten().contiguous(),
        [rows.numel(), *others],
        "features",
        received if transport.rank == 0 else [0] * transport.size,
    )
    parts = work.wait()
    return [part.view(-1, width) for part in parts if len(part)]
