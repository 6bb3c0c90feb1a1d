"""Batches are the same bits however they are read, and tests see every image once."""

import hashlib
import multiprocessing
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data import Augmentation, Batches, ImageFiles, ImageSet, InMemory, evaluation_blocks, make_split
from hvd_qgenx.data.registry import AUGMENTATIONS, SPLITS
from hvd_qgenx.data.splits import FixedShares
from hvd_qgenx.errors import LocalError


def stream(
    images: ImageSet,
    batch_size: int,
    seed: int = 0,
    rank: int = 0,
    ranks: int = 1,
    *,
    augmentation: str = "none",
    split: str = "reshuffled",
    workers: int = 0,
) -> Batches:
    """One rank's batches."""
    shared = make_split(split, images, batch_size, seed, rank, ranks)
    return Batches(images, shared, Augmentation(augmentation, seed), workers=workers)


def test_pixels_lie_between_minus_one_and_one():
    images = InMemory("counted", torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1), torch.zeros(256))
    batch, _ = stream(images, 256)(0)
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
    plain, flipped = (stream(files, 200, augmentation=name) for name in ("none", "flip"))
    mirrored = []
    for draw in range(2):
        (images, labels), (changed, same_labels) = plain(draw), flipped(draw)
        assert torch.equal(labels, same_labels)
        mirrored.append((changed == images.flip(-1)).flatten(1).all(1))
        assert torch.equal(changed[~mirrored[-1]], images[~mirrored[-1]])
    assert 150 < torch.cat(mirrored).sum() < 250  # five standard deviations
    assert not torch.equal(*mirrored)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_number_of_ranks_changes_no_image_of_a_batch(augmentation, files):
    whole, *shards = (
        stream(files, 7, 3, rank, ranks, augmentation=augmentation) for rank, ranks in ((0, 1), (0, 3), (1, 3), (2, 3))
    )
    for draw in (0, 4):
        parts = zip(*(shard(draw) for shard in shards), strict=True)
        assert all(map(torch.equal, whole(draw), map(torch.cat, parts)))


GOLDEN = {
    (0, 0, 1, False, 7): "4c570f309fb6004c",
    (0, 2, 3, False, 64): "4a4288205cd1d7e5",
    (0, 0, 3, True, 7): "a7993a2ac9efe494",
    (7, 0, 1, True, 64): "2aad2ed5eca8bb1c",
    (7, 2, 3, True, 7): "827c98580669e70d",
}
"""SHA-256, cut, of ten draws by seed, rank, ranks, flip and batch size, as they were before splits had names."""


@pytest.mark.parametrize(
    ("case", "expected", "workers"),
    [*((case, digest, 0) for case, digest in GOLDEN.items()), (*list(GOLDEN.items())[-1], 1)],
)
def test_draws_have_the_bits_that_earlier_runs_had(case, expected, workers, tmp_path):
    seed, rank, ranks, flip, batch_size = case
    pixels = torch.randint(256, (30, 3, 8, 8), dtype=torch.uint8, generator=generator(30))
    labels = torch.arange(30) % 4
    images: ImageSet = InMemory("noise", pixels, labels)
    if workers:
        names = [f"{index}.png" for index in range(30)]
        for name, image in zip(names, pixels, strict=True):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name)
        images = ImageFiles("noise", tmp_path, names, labels.tolist(), 4, side=8)
    augmentation = "flip" if flip else "none"
    digest = hashlib.sha256()
    with closing(stream(images, batch_size, seed, rank, ranks, augmentation=augmentation, workers=workers)) as batches:
        for draw in range(10):
            for part in batches(draw):
                digest.update(part.numpy().tobytes())
    assert digest.hexdigest()[:16] == expected


def test_a_batch_is_what_the_split_selects(files):
    for rank in range(3):
        batches = stream(files, 5, 1, rank, 3, split="sorted")
        for draw in range(4):
            images, labels = batches(draw)
            expected, same_labels = files.take(batches.split.indices(draw))
            assert torch.equal(images, expected.float() / 127.5 - 1)
            assert torch.equal(labels, same_labels)
            assert len(labels) == batches.counts(draw)[rank]


@pytest.mark.parametrize(("augmentation", "workers"), [("none", 0), ("crop-flip", 0), ("crop-flip", 1)])
def test_a_rank_without_images_in_a_draw_gets_empty_tensors(augmentation, workers, files):
    images = ImageFiles("skewed", files.folder, files.files, [0] * 19 + [1], 2, side=8)
    split = FixedShares([torch.arange(19), torch.tensor([19])], 2, 0, rank=1)
    with closing(Batches(images, split, Augmentation(augmentation), workers=workers)) as batches:
        drawn = [batches(draw) for draw in range(10)]
    assert [len(labels) for _, labels in drawn] == [0] * 9 + [1]
    assert all((found.shape, found.dtype) == ((len(labels), 3, 8, 8), torch.float32) for found, labels in drawn)
    assert drawn[-1][1].tolist() == [1]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("augmentation", ["none", "crop-flip"])
def test_weighted_means_of_ranks_average_to_the_mean_of_the_batch(split, augmentation, files):
    ranks = [stream(files, 7, 0, rank, 3, split=split, augmentation=augmentation) for rank in range(3)]
    for draw in range(5):
        parts = [batches(draw)[0] for batches in ranks]
        counts = ranks[0].counts(draw)
        weighted = [part.mean() * count * 3 / sum(counts) for part, count in zip(parts, counts, strict=True) if count]
        torch.testing.assert_close(sum(weighted) / 3, torch.cat(parts).mean())


@pytest.mark.parametrize(("ranks", "size"), [(1, 6), (3, 4), (4, 100), (25, 2)])
def test_every_sample_is_in_one_block_of_one_rank(ranks, size):
    dealt = [list(evaluation_blocks(20, rank, ranks, size)) for rank in range(ranks)]
    blocks = dict(block for share in dealt for block in share)
    assert list(blocks) == sorted(blocks) or ranks > 1
    assert [place for number in sorted(blocks) for place in blocks[number]] == list(range(20))
    assert blocks == dict(evaluation_blocks(20, 0, 1, size))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


@contextmanager
def untouched() -> Iterator[None]:
    """No global random generator may have moved."""

    def state() -> tuple[object, bytes, bytes]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()

    before = state()
    yield
    assert state() == before


def test_workers_read_the_same_bits(files):
    with untouched(), closing(stream(files, 9, 1, 1, 2, augmentation="crop-flip", workers=2)) as ahead:
        alone = stream(files, 9, 1, 1, 2, augmentation="crop-flip")
        for draw in (0, 1, 2, 7, 8):  # a jump as after a resumption, in the middle of an epoch
            assert all(map(torch.equal, ahead(draw), alone(draw)))
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_images_in_memory_need_no_workers(files):
    images = InMemory("memory", *files.take(range(20)))
    batches = stream(images, 9, workers=2)
    assert torch.equal(batches(0)[0], stream(files, 9)(0)[0])
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_one_sentence(workers, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    files = ImageFiles("broken", tmp_path, ["a.png"], [0], 1, side=8)
    with (
        closing(stream(files, 1, workers=workers)) as batches,
        pytest.raises(LocalError, match=r"^cannot read the image .*a\.png \(.*\); repair it, or .* --resume$"),
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
        closing(stream(Dying(), 1, workers=1)) as batches,
        pytest.raises(LocalError, match=r"^a process that reads images has failed \(.* exited unexpectedly\); try"),
    ):
        batches(0)


def read_in_a_process(how_it_ends: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program that has started a worker, and has not closed its batches."""
    program = f"""if True:
        import os, signal
        from tests.data.test_batches import Spy, stream
        batches = stream(Spy(), 4, workers=1)
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
