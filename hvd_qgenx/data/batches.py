"""The stream of batches that every rank draws its share of."""

import functools
import itertools

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data.images import ImageSet
from hvd_qgenx.data.prefetch import Prefetcher
from hvd_qgenx.data.streams import RandomStream


class Batches:
    """The endless stream of batches: a function of the seed and the number of the draw.

    All epochs' permutations are laid end to end; draw number t takes the t-th ``batch_size`` of
    them, and the ranks share each draw without overlap, sizes differing by one at most. So every
    rank sees its own part, every image is drawn once in an epoch, and nothing needs storing to
    resume.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: int,
        seed: int,
        rank: int,
        ranks: int,
        *,
        flip: bool = False,
        workers: int = 0,
        pinned: bool = False,
    ) -> None:
        """
        Args:
            images: what to draw from.
            batch_size: images in a draw, over all ranks.
            seed: decides the order.
            rank: which share.
            ranks: number of shares.
            flip: mirror every image with probability 1/2.
            workers: processes that read coming draws, if the images are not in memory; best for draws in turn.
            pinned: return tensors in pinned memory.
        """
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.first, self.last = batch_size * rank // ranks, batch_size * (rank + 1) // ranks
        self.flip, self.pinned = flip, pinned
        self.workers = 0 if images.in_memory else workers
        self._permutation = functools.lru_cache(maxsize=2)(self._permute)
        self._prefetcher: Prefetcher | None = None
        self._next = 0
        """The draw that is read next."""

    def __len__(self) -> int:
        """Number of images in this rank's share of a draw."""
        return self.last - self.first

    def __call__(self, draw: int) -> tuple[Tensor, Tensor]:
        """float32 images in [-1, 1], shape (len(self), channels, side, side), and their labels, int64 (len(self),).

        Raises:
            LocalError: on this rank alone, if an image cannot be read.
        """
        images, labels = self._read(draw) if self.workers else self.images.take(self.indices(draw))
        if self.flip:
            mirrored = self._mirrored(draw)
            images = images.index_copy(0, mirrored, images.index_select(0, mirrored).flip(-1))
        batch = images.float().div_(127.5).sub_(1)
        return (batch.pin_memory(), labels.pin_memory()) if self.pinned else (batch, labels)

    def close(self) -> None:
        """Ends the processes that read ahead."""
        self._prefetcher = None

    def indices(self, draw: int) -> list[int]:
        """The images of this rank in this draw."""
        start = draw * self.batch_size
        found: list[int] = []
        places = range(start + self.first, start + self.last)
        while places:
            epoch, place = divmod(places[0], len(self.images))
            part = self._permutation(epoch)[place : place + len(places)]
            found += part.tolist()
            places = places[len(part) :]
        return found

    def _read(self, draw: int) -> tuple[Tensor, Tensor]:
        if self._prefetcher is None or draw != self._next:
            self.close()
            self._prefetcher = Prefetcher(self.images, map(self.indices, itertools.count(draw)), self.workers)
        self._next = draw + 1
        return next(self._prefetcher)

    def _mirrored(self, draw: int) -> Tensor:
        """Which images of this rank's share are: int64; every place in the whole batch has a coin of its own."""
        coins = torch.randint(2, (self.batch_size,), generator=generator(self.seed, RandomStream.FLIP, draw))
        return coins[self.first : self.last].nonzero().squeeze(1)

    def _permute(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.images), generator=generator(self.seed, RandomStream.ORDER, epoch))
