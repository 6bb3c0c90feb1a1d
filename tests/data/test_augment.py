"""Random crops and mirrored images: what they show, how often, and that ranks do not matter."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data.augment import PADDING, Augmentation
from hvd_qgenx.data.registry import AUGMENTATIONS
from hvd_qgenx.data.streams import RandomStream

NOISE = torch.randint(1, 256, (40, 3, 6, 6), dtype=torch.uint8, generator=generator(1))
"""No pixel is black, so padding shows."""


def changed(name: str, images: Tensor = NOISE, draw: int = 0, seed: int = 0) -> Tensor:
    return Augmentation(name, seed)(images, draw, range(len(images)), len(images))


def test_names_are_those_that_are_listed():
    for name in AUGMENTATIONS:
        assert changed(name).shape == NOISE.shape
    with pytest.raises(KeyError):
        changed("rotate")


def test_no_augmentation_changes_nothing():
    assert torch.equal(changed("none"), NOISE)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_window_of_the_padded_image(channels):
    images = NOISE[:, :channels]
    before = images.clone()
    offsets = torch.randint(9, (40, 2), generator=generator(5, RandomStream.CROP, 2)).tolist()
    for image, cropped, (top, left) in zip(images, changed("crop", images, draw=2, seed=5), offsets, strict=True):
        expected = torch.zeros(channels, 6, 6, dtype=torch.uint8)
        for row in range(6):
            for column in range(6):
                source_row, source_column = row + top - 4, column + left - 4
                if 0 <= source_row < 6 and 0 <= source_column < 6:
                    expected[:, row, column] = image[:, source_row, source_column]
        assert torch.equal(cropped, expected)
    assert torch.equal(images, before)


def test_every_offset_is_as_likely():
    """The only white pixel stands in the middle, so its place in the crop tells the offset."""
    images = torch.zeros(20000, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 255
    cropped = changed("crop", images)
    assert torch.all((cropped == 255).flatten(1).sum(1) == 1)
    counts = (cropped == 255).sum((0, 1)).double()
    chi_squared = ((counts - 20000 / 81) ** 2 / (20000 / 81)).sum()
    assert chi_squared < 150  # 80 degrees of freedom: mean 80, standard deviation 12.6


def test_padding_is_black():
    white = torch.full((200, 3, 2, 2), 255, dtype=torch.uint8)
    cropped = changed("crop", white)
    assert cropped.unique().tolist() == [0, 255]
    assert PADDING > 2  # so that some crops show nothing else
    assert any(not image.any() for image in cropped)


def test_crops_are_taken_before_mirroring_and_with_the_same_coins():
    assert torch.equal(changed("crop-flip"), changed("flip", changed("crop")))


@pytest.mark.parametrize("name", AUGMENTATIONS[1:])
def test_draws_and_seeds_have_changes_of_their_own(name):
    assert not torch.equal(changed(name), changed(name, draw=1))
    assert not torch.equal(changed(name), changed(name, seed=1))
    assert torch.equal(changed(name, draw=1), changed(name, draw=1))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("cuts", [(0, 40), (0, 13, 27, 40), (0, 1, 1, 39, 40)])
def test_a_change_depends_on_the_place_in_the_whole_batch_alone(name, cuts):
    augmentation = Augmentation(name, 3)
    parts = [augmentation(NOISE[start:stop], 6, range(start, stop), 40) for start, stop in pairwise(cuts)]
    assert torch.equal(torch.cat(parts), changed(name, draw=6, seed=3))
