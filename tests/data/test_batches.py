"""Shards without loss or overlap, the same bits however they are read."""

import multiprocessing
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data import Batches, ImageFiles, InMemory
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import LocalError


def streams(count: int, batch: int, ranks: int, seed: int = 0) -> list[Batches]:
    images = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1)
    images = InMemory("counted", images, torch.zeros(count))
    return [Batches(images, batch, seed, rank, ranks) for rank in range(ranks)]


@pytest.mark.parametrize(("count", "batch", "ranks"), [(30, 6, 3), (30, 7, 3), (10, 4, 4), (7, 16, 3), (50, 1, 1)])
def test_every_image_is_drawn_once_in_every_epoch(count, batch, ranks):
    shards = streams(count, batch, ranks)
    epochs = 4
    drawn = [index for draw in range(epochs * count // batch + 1) for shard in shards for index in shard.indices(draw)]
    for epoch in range(epochs):
        assert Counter(drawn[epoch * count : (epoch + 1) * count]) == Counter(range(count))


def test_the_order_is_that_of_the_epochs_permutations():
    orders = [torch.randperm(10, generator=generator(5, RandomStream.ORDER, epoch)) for epoch in range(4)]
    laid_out = torch.cat(orders).tolist()
    (whole,), shards = streams(10, 13, 1, seed=5), streams(10, 13, 3, seed=5)
    for draw in (2, 0, 1):  # as after a resumption
        assert whole.indices(draw) == laid_out[13 * draw : 13 * (draw + 1)]
        assert [index for shard in shards for index in shard.indices(draw)] == whole.indices(draw)


@pytest.mark.parametrize(("batch", "ranks", "sizes"), [(96, 3, [32, 32, 32]), (7, 3, [2, 2, 3]), (4, 4, [1, 1, 1, 1])])
def test_the_whole_batch_is_shared_out(batch, ranks, sizes):
    assert [len(shard) for shard in streams(100, batch, ranks)] == sizes
    assert [len(shard.indices(3)) for shard in streams(100, batch, ranks)] == sizes


def test_epochs_and_seeds_have_orders_of_their_own():
    (shard,), (other,) = streams(100, 100, 1), streams(100, 100, 1, seed=1)
    assert shard.indices(0) != shard.indices(1)
    assert shard.indices(0) != other.indices(0)


def test_images_are_scaled():
    (shard,) = streams(256, 256, 1)
    batch, _ = shard(0)
    assert (batch.min(), batch.max(), batch.dtype) == (-1, 1, torch.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> ImageFiles:
    folder = tmp_path_factory.mktemp("files")
    names = [f"{index}.png" for index in range(20)]
    for name in names:
        noise = generator(len(name), int(name[:-4]))
        pixels = torch.randint(256, (12, 8, 3), dtype=torch.uint8, generator=noise)
        Image.fromarray(pixels.numpy()).save(folder / name)
    return ImageFiles("noise", folder, names, [index % 3 for index in range(20)], 3, side=8)


def test_half_of_the_images_are_mirrored(files):
    plain, flipped = (Batches(files, 200, 0, 0, 1, flip=flip) for flip in (False, True))
    mirrored = []
    for draw in range(2):
        (images, labels), (changed, same_labels) = plain(draw), flipped(draw)
        assert torch.equal(labels, same_labels)
        mirrored.append((changed == images.flip(-1)).flatten(1).all(1))
        assert torch.equal(changed[~mirrored[-1]], images[~mirrored[-1]])
    assert 150 < torch.cat(mirrored).sum() < 250  # five standard deviations
    assert not torch.equal(*mirrored)


@pytest.mark.parametrize("flip", [False, True])
def test_the_number_of_ranks_changes_no_image_of_a_batch(flip, files):
    (whole,), shards = ([Batches(files, 7, 3, rank, ranks, flip=flip) for rank in range(ranks)] for ranks in (1, 3))
    for draw in (0, 4):
        parts = zip(*(shard(draw) for shard in shards), strict=True)
        assert all(map(torch.equal, whole(draw), map(torch.cat, parts)))


@contextmanager
def untouched() -> Iterator[None]:
    """No global random generator may have moved."""

    def state() -> tuple[object, bytes, bytes]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()

    before = state()
    yield
    assert state() == before


def test_workers_read_the_same_bits(files):
    with untouched(), closing(Batches(files, 9, 1, 1, 2, flip=True, workers=2)) as ahead:
        alone = Batches(files, 9, 1, 1, 2, flip=True)
        for draw in (0, 1, 2, 7, 8):  # a jump as after a resumption, in the middle of an epoch
            assert all(map(torch.equal, ahead(draw), alone(draw)))
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_images_in_memory_need_no_workers(files):
    images = InMemory("memory", *files.take(range(20)))
    batches = Batches(images, 9, 0, 0, 1, workers=2)
    assert torch.equal(batches(0)[0], Batches(files, 9, 0, 0, 1)(0)[0])
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_sentence(workers, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    files = ImageFiles("broken", tmp_path, ["a.png"], [0], 1, side=8)
    with (
        closing(Batches(files, 1, 0, 0, 1, workers=workers)) as batches,
        pytest.raises(LocalError, match=r"^cannot read the image .*a\.png \(.*\); mend it or take it away$"),
    ):
        batches(0)


class Spy(InMemory):
    """Kept in memory, read in processes all the same; its labels tell what these have imported."""

    in_memory = False

    def __init__(self) -> None:
        super().__init__("spy", torch.zeros(4, 1, 1, 1, dtype=torch.uint8), torch.zeros(4))

    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        imported = {module.partition(".")[0] for module in sys.modules} & {"horovod", "mpi4py"}
        return super().take(indices)[0], torch.full((len(indices),), len(imported))


class Dying(Spy):
    def take(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        os._exit(3)


def test_a_dead_worker_is_one_sentence():
    with (
        closing(Batches(Dying(), 1, 0, 0, 1, workers=1)) as batches,
        pytest.raises(LocalError, match=r"^a process that reads images has failed \(.* exited unexpectedly\); try"),
    ):
        batches(0)


def read_in_a_process(how_it_ends: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program that has started a worker, and has not closed its batches."""
    program = f"""if True:
        import os, signal
        from tests.data.test_batches import Batches, Spy
        batches = Batches(Spy(), 4, 0, 0, 1, workers=1)
        print("imported", batches(0)[1].tolist(), flush=True)
        {how_it_ends}
    """
    return subprocess.run(  # which waits for the last process that holds the pipe
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_workers_of_a_launched_rank_start_no_mpi_and_die_with_it():
    launched = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    done = read_in_a_process("os.kill(os.getpid(), signal.SIGKILL)", **launched)
    assert done.stdout == "imported [0, 0, 0, 0]\n", done.stderr


@pytest.mark.parametrize(("end", "code"), [("", 0), ("kept = [batches, 1 / 0]", 1)])
def test_a_process_that_ends_takes_them_along(end, code):
    assert read_in_a_process(f"batches.itself = batches; {end}").returncode == code
