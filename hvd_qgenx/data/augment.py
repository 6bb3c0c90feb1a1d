"""Random changes of images, the same for any number of ranks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data.streams import RandomStream

PADDING = 4
"""Black pixels on every side before a random crop, as for CIFAR-10 by He et al. (CVPR 2016, section 4.2)."""


@dataclass(frozen=True)
class Augmentation:
    """Changes images at random: each change is a function of the seed, the draw and the place in the whole batch.

    Attributes:
        name: one of ``AUGMENTATIONS``.
        seed: of the run.
    """

    name: str = "none"
    seed: int = 0

    def __call__(self, images: Tensor, draw: int, places: range, total: int) -> Tensor:
        """Returns changed copies of the images; the images themselves where there is nothing to change.

        Args:
            images: uint8, shape (len(places), channels, side, side).
            draw: number of the draw.
            places: the images' places in the whole batch.
            total: size of the whole batch.
        """
        for change in _CHANGES[self.name]:
            images = change(images, self.seed, draw, places, total)
        return images


def flip(images: Tensor, seed: int, draw: int, places: range, total: int) -> Tensor:
    """Mirrors every image with probability 1/2."""
    coins = torch.randint(2, (total,), generator=generator(seed, RandomStream.FLIP, draw))
    mirrored = coins[places.start : places.stop].nonzero().squeeze(1)
    return images.index_copy(0, mirrored, images.index_select(0, mirrored).flip(-1))


def crop(images: Tensor, seed: int, draw: int, places: range, total: int) -> Tensor:
    """Pads every image with ``PADDING`` black pixels on every side and cuts its size out again, at a random offset."""
    random = generator(seed, RandomStream.CROP, draw)
    offsets = torch.randint(2 * PADDING + 1, (total, 2), generator=random)[places.start : places.stop]
    side = images.shape[-1]
    windows = F.pad(images, (PADDING,) * 4).unfold(2, side, 1).unfold(3, side, 1)  # a view of all crops
    return windows[torch.arange(len(images)), :, offsets[:, 0], offsets[:, 1]]


_CHANGES: dict[str, tuple[Callable[[Tensor, int, int, range, int], Tensor], ...]] = {
    "none": (),
    "flip": (flip,),
    "crop": (crop,),
    "crop-flip": (crop, flip),
}
