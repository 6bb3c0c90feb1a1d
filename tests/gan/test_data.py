"""Shards without loss or overlap, and data sets as they come."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gan import data
from hvd_qgenx.transport import inprocess
from hvd_qgenx.vision import torchvision


def streams(count: int, batch: int, ranks: int, seed: int = 0) -> list[data.Batches]:
    images = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1)
    images = data.InMemory("counted", images, torch.zeros(count))
    return [data.Batches(images, batch, seed, rank, ranks) for rank in range(ranks)]


@pytest.mark.parametrize(("count", "batch", "ranks"), [(30, 6, 3), (30, 7, 3), (10, 4, 4), (7, 16, 3), (50, 1, 1)])
def test_every_image_is_drawn_once_in_every_epoch(count, batch, ranks):
    shards = streams(count, batch, ranks)
    epochs = 4
    drawn = [index for draw in range(epochs * count // batch + 1) for shard in shards for index in shard.indices(draw)]
    for epoch in range(epochs):
        assert Counter(drawn[epoch * count : (epoch + 1) * count]) == Counter(range(count))


@pytest.mark.parametrize(("batch", "ranks", "sizes"), [(96, 3, [32, 32, 32]), (7, 3, [2, 2, 3]), (4, 4, [1, 1, 1, 1])])
def test_the_whole_batch_is_shared_out(batch, ranks, sizes):
    assert [len(shard) for shard in streams(100, batch, ranks)] == sizes
    assert [len(shard.indices(3)) for shard in streams(100, batch, ranks)] == sizes


def test_epochs_and_seeds_have_orders_of_their_own():
    (shard,), (other,) = streams(100, 100, 1), streams(100, 100, 1, seed=1)
    assert shard.indices(0) != shard.indices(1)
    assert shard.indices(0) != other.indices(0)
    assert shard.indices(0) == streams(100, 100, 1)[0].indices(0)


def test_images_are_scaled():
    (shard,) = streams(256, 256, 1)
    batch, _ = shard(0)
    assert (batch.min(), batch.max(), batch.dtype) == (-1, 1, torch.float32)


def test_digits_need_no_folder():
    images = data.load("digits", Path("/nowhere"), False, inprocess.InProcess())
    pixels, labels = images.take(range(1797))
    assert (len(images), pixels.shape, pixels.dtype) == (1797, (1797, 1, 8, 8), torch.uint8)
    assert pixels.max() == 255
    assert labels.unique().tolist() == list(range(images.classes)) == list(range(10))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_missing_data_says_what_to_do(name, tmp_path):
    with pytest.raises(ConfigurationError, match=f"no {name} in .*add --download.*--data-dir.*--dataset digits"):
        data.load(name, tmp_path, False, inprocess.InProcess())


def test_one_rank_of_a_host_downloads_before_any_loads(tmp_path, monkeypatch):
    calls = []

    class Fake:
        def __init__(self, root, train, download):
            calls.append(download)
            self.data, self.targets = np.zeros((4, 32, 32, 3), np.uint8), [0, 1, 2, 3]

    monkeypatch.setattr(torchvision().datasets, "CIFAR10", Fake)
    images = inprocess.run(3, lambda transport: data.load("cifar10", tmp_path, True, transport))
    assert [len(part) for part in images] == [4, 4, 4]
    assert calls == [True, False, False, False]


def test_a_failed_download_ends_all_ranks_alike(tmp_path, monkeypatch):
    def fails(*_: object, **__: object):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision().datasets, "CIFAR10", fails)

    def load(transport):
        with pytest.raises(ConfigurationError, match=r"rank 0: no cifar10 in .*no route to host"):
            data.load("cifar10", tmp_path, True, transport)

    inprocess.run(3, load)


@pytest.mark.parametrize(("name", "shape"), [("mnist", (60000, 1, 28, 28)), ("cifar10", (50000, 3, 32, 32))])
def test_real_data(name, shape, data_dir):
    images = data.load(name, data_dir, False, inprocess.InProcess())
    assert (len(images), images.channels, images.side, images.side) == shape
    pixels, labels = images.take(range(0, len(images), 50))
    assert 30 < pixels.float().mean() < 140
    assert labels.bincount(minlength=10).min() > 70
