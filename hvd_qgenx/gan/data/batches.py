"""The stream of batches that every rank draws its share of."""

import functools

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.gan.data.sets import ImageSet
from hvd_qgenx.gan.purposes import Purpose


class Batches:
    """The endless stream of batches: a function of the seed and the number of the draw.

    All epochs' permutations are laid end to end; draw number t takes the t-th ``batch_size`` of
    them, and the ranks share each draw without overlap, sizes differing by one at most. So every
    rank sees its own part, every image is drawn once in an epoch, and nothing needs storing to
    resume.
    """

    def __init__(self, images: ImageSet, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.first, self.last = batch_size * rank // ranks, batch_size * (rank + 1) // ranks
        self._permutation = functools.lru_cache(maxsize=2)(self._permute)

    def __len__(self) -> int:
        """Number of images in this rank's share of a draw."""
        return self.last - self.first

    def indices(self, draw: int) -> list[int]:
        """The images of this rank in this draw."""
        start = draw * self.batch_size
        places = [divmod(start + i, len(self.images)) for i in range(self.first, self.last)]
        return [int(self._permutation(epoch)[place]) for epoch, place in places]

    def __call__(self, draw: int) -> tuple[Tensor, Tensor]:
        """float32 images in [-1, 1], shape (len(self), channels, side, side), and their labels, int64 (len(self),)."""
        images, labels = self.images.take(self.indices(draw))
        return images.float().div_(127.5).sub_(1), labels

    def _permute(self, epoch: int) -> Tensor:
        return torch.randperm(len(self.images), generator=generator(self.seed, Purpose.ORDER, epoch))
