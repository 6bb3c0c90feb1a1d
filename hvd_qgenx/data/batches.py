"""Batches for training, draw by draw, and blocks for evaluation."""

import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch import Tensor

from hvd_qgenx.data.augment import Augmentation
from hvd_qgenx.data.images import ImageSet
from hvd_qgenx.data.prefetch import Prefetcher
from hvd_qgenx.data.splits import Split
from hvd_qgenx.transport import Transport

T = TypeVar("T")


class Batches:
    """The endless stream of batches of one rank: images, as a split selects them, augmented.

    A batch is a function of the seed and the number of the draw, so nothing is stored to resume.
    """

    def __init__(
        self,
        images: ImageSet,
        split: Split,
        augmentation: Augmentation | None = None,
        *,
        workers: int = 0,
        pinned: bool = False,
    ) -> None:
        """
        Args:
            images: what to draw from.
            split: selects the images of this rank.
            augmentation: changes them; None: no change.
            workers: processes that read coming draws, if the images are not in memory; best for draws in turn.
            pinned: return tensors in pinned memory.
        """
        self.images, self.split, self.pinned = images, split, pinned
        self.augmentation = augmentation or Augmentation()
        self.workers = 0 if images.in_memory else workers
        self._prefetcher: Prefetcher | None = None
        self._next = 0
        """The draw that the prefetcher reads next."""

    def __len__(self) -> int:
        """Number of images of this rank in the first draw; with the split ``reshuffled``, in every draw."""
        return self.counts(0)[self.split.rank]

    def __call__(self, draw: int) -> tuple[Tensor, Tensor]:
        """Returns this rank's images, as ``normalized`` makes them, and their labels, int64 (n,).

        With fixed shares n may be 0 in some draws: then the tensors are empty, of shapes (0, channels, side, side)
        and (0,).

        Raises:
            LocalError: on this rank alone, if an image cannot be read.
        """
        images, labels = self._read(draw) if self.workers else self.images.take(self.split.indices(draw))
        changed = self.augmentation(images, draw, self.split.places(draw), sum(self.counts(draw)))
        batch = normalized(changed)
        return (batch.pin_memory(), labels.pin_memory()) if self.pinned else (batch, labels)

    def counts(self, draw: int) -> list[int]:
        """Returns the number of images of every rank in this draw.

        To weight rank k's mean loss by ``counts[k] * ranks / sum(counts)`` makes the mean over ranks the mean over
        the whole batch.
        """
        return self.split.counts(draw)

    def close(self) -> None:
        """Ends the processes that prefetch."""
        self._prefetcher = None

    def _read(self, draw: int) -> tuple[Tensor, Tensor]:
        if self._prefetcher is None or draw != self._next:
            self.close()
            self._prefetcher = Prefetcher(self.images, map(self.split.indices, itertools.count(draw)), self.workers)
        self._next = draw + 1
        return next(self._prefetcher)


def evaluation_blocks(count: int, rank: int, ranks: int, size: int) -> Iterator[tuple[int, range]]:
    """Yields the numbers and places of the blocks of ``size`` samples that a rank evaluates.

    Blocks are dealt to ranks in turn, so every sample is in one block of one rank, and what is computed of a block
    does not depend on the number of ranks. Ranks may have different numbers of blocks, and some none, so
    run no collective inside the loop; gather after it.
    """
    for number, start in enumerate(range(0, count, size)):
        if number % ranks == rank:
            yield number, range(start, min(start + size, count))


def evaluated_in_blocks(
    count: int, size: int, transport: Transport, name: str, evaluate: Callable[[int, range], T]
) -> list[T]:
    """Evaluates every block on one of the ranks; returns the values of all blocks, in their order. Collective.

    Args:
        count: number of samples.
        size: samples in a block.
        transport: of the ranks.
        name: names the collective; equal on all ranks.
        evaluate: takes the number and the places of a block; may run no collective.
    """
    blocks = evaluation_blocks(count, transport.rank, transport.size, size)
    mine = {number: evaluate(number, places) for number, places in blocks}
    everyone = transport.all_gather_object(mine, name)
    found = {number: value for own in everyone for number, value in own.items()}
    return [found[number] for number in sorted(found)]


def normalized(images: Tensor) -> Tensor:
    """Returns uint8 images as float32 in [-1, 1], of the same shape."""
    return images.float().div_(127.5).sub_(1)
