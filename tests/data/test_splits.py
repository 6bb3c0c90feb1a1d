"""Every sample is drawn once in an epoch, by whichever rank; shares are what their names say."""

from collections import Counter

import pytest
import torch

from compressors.random import generator
from hvd_qgenx.data import ImageFiles, ImageSet, InMemory
from hvd_qgenx.data.registry import SPLITS
from hvd_qgenx.data.splits import (
    FixedShares,
    Split,
    class_counts,
    describe,
    dirichlet_shares,
    make_split,
    share_of,
    sorted_shares,
)
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError

KEPT = [name for name in SPLITS if name != "reshuffled"]


def labelled(count: int, classes: int = 3) -> InMemory:
    """Images with labels in random order."""
    labels = torch.arange(count)[torch.randperm(count, generator=generator(count))] % classes
    return InMemory("labelled", torch.zeros(count, 1, 1, 1, dtype=torch.uint8), labels)


def splits(name: str, images: ImageSet, batch_size: int, ranks: int, seed: int = 0, alpha: float = 5.0) -> list[Split]:
    return [make_split(name, images, batch_size, seed, rank, ranks, alpha) for rank in range(ranks)]


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize(("count", "batch", "ranks"), [(30, 6, 3), (36, 4, 4), (20, 40, 3), (20, 20, 2), (50, 1, 1)])
def test_every_sample_is_drawn_once_in_every_epoch(name, count, batch, ranks):
    """In these cases every epoch ends with a draw."""
    each = splits(name, labelled(count), batch, ranks)
    draws = max(count // batch, 1)
    for epoch in range(4):
        drawn = [
            index for draw in range(epoch * draws, (epoch + 1) * draws) for one in each for index in one.indices(draw)
        ]
        assert Counter(drawn) == {index: max(batch // count, 1) for index in range(count)}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize(("count", "batch", "ranks"), [(30, 7, 3), (31, 4, 4), (17, 40, 3)])
def test_ranks_go_through_their_shares_at_the_same_pace(name, count, batch, ranks):
    """After any number of draws every rank has drawn its part of what all have, to within one sample."""
    each = splits(name, labelled(count), batch, ranks)
    drawn = [0] * ranks
    for draw in range(3 * count // batch + 1):
        drawn = [before + len(split.indices(draw)) for before, split in zip(drawn, each, strict=True)]
        for have, share in zip(drawn, each[0].shares, strict=True):
            assert abs(have - (draw + 1) * batch * len(share) / count) < 1


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize(("count", "batch", "ranks"), [(30, 7, 3), (31, 4, 4), (17, 40, 3), (9, 3, 3)])
def test_a_rank_sees_its_share_once_in_each_of_its_epochs(name, count, batch, ranks):
    for rank, split in enumerate(splits(name, labelled(count), batch, ranks)):
        share = split.shares[rank].tolist()
        drawn = [index for draw in range(5 * count // batch + 1) for index in split.indices(draw)]
        epochs = [drawn[start : start + len(share)] for start in range(0, len(drawn), len(share))]
        assert len(epochs) >= 5
        assert all(Counter(epoch) == Counter(share) for epoch in epochs[:5])
        if len(share) > 6:
            assert epochs[0] != epochs[1]


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize(("batch", "ranks"), [(7, 3), (3, 3), (40, 4), (5, 1)])
def test_all_ranks_know_what_each_has_in_a_draw(name, batch, ranks):
    each = splits(name, labelled(31), batch, ranks)
    for draw in (*range(20), 1000003):
        counts = [len(split.indices(draw)) for split in each]
        assert all(split.counts(draw) == counts for split in each)
        assert 0 < sum(counts) < batch + ranks
        places = [place for split in each for place in split.places(draw)]
        assert places == list(range(sum(counts)))


@pytest.mark.parametrize("name", KEPT)
def test_shares_are_the_whole_without_overlap_and_the_same_on_all_ranks(name):
    each = splits(name, labelled(50), 10, 4)
    assert sorted(torch.cat(list(each[0].shares)).tolist()) == list(range(50))
    for split in each:
        assert all(map(torch.equal, split.shares, each[0].shares))


@pytest.mark.parametrize("name", ["reshuffled", "fixed", "dirichlet"])
def test_seeds_have_draws_of_their_own(name):
    one, other, again = (splits(name, labelled(200), 60, 2, seed=seed)[0] for seed in (0, 1, 0))
    assert one.indices(0) != other.indices(0)
    assert one.indices(0) == again.indices(0)
    assert one.indices(0) != one.indices(10)


def test_the_reshuffled_order_is_that_of_the_epochs_permutations():
    orders = [torch.randperm(10, generator=generator(5, RandomStream.ORDER, epoch)) for epoch in range(4)]
    laid_out = torch.cat(orders).tolist()
    images = labelled(10)
    (whole,), shards = splits("reshuffled", images, 13, 1, seed=5), splits("reshuffled", images, 13, 3, seed=5)
    for draw in (2, 0, 1):  # as after a resumption
        assert whole.indices(draw) == laid_out[13 * draw : 13 * (draw + 1)]
        assert [index for shard in shards for index in shard.indices(draw)] == whole.indices(draw)


GOLDEN = {
    "reshuffled": [[23, 6, 18], [15, 17, 20], [1, 19, 21]],
    "fixed": [[17, 11, 7], [22, 3, 5], [14, 16, 13]],
    "sorted": [[2, 12, 23], [4, 3, 21], [19, 15, 9]],
    "dirichlet": [[17, 7, 1], [6, 16, 22], [5, 4, 2]],
}
"""The samples of three ranks in draw 1: runs are resumed, so they must never change."""


@pytest.mark.parametrize(("name", "expected"), GOLDEN.items())
def test_draws_do_not_change_between_versions(name, expected):
    assert [split.indices(1) for split in splits(name, labelled(24), 9, 3, seed=7)] == expected


@pytest.mark.parametrize(("batch", "ranks", "sizes"), [(96, 3, [32, 32, 32]), (7, 3, [2, 2, 3]), (4, 4, [1, 1, 1, 1])])
def test_the_reshuffled_batch_is_shared_out_evenly(batch, ranks, sizes):
    for split in splits("reshuffled", labelled(100), batch, ranks):
        assert split.counts(0) == split.counts(3) == sizes


def test_fixed_shares_are_random_and_even():
    (split, *_) = splits("fixed", labelled(1000, classes=4), 10, 3)
    assert [len(share) for share in split.shares] == [333, 333, 334]
    for share in split.shares:
        assert share.tolist() != sorted(share.tolist())
        assert 400 < share.float().mean() < 600  # ten standard deviations


def test_sorted_shares_have_few_classes():
    labels = torch.arange(100) % 10
    shares = sorted_shares(labels, 5)
    assert [labels[share].unique().tolist() for share in shares] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert shares[0].tolist() == [*range(0, 100, 10), *range(1, 100, 10)]  # stable


def test_the_pace_follows_the_formula():
    shares = [torch.arange(0, 5), torch.arange(5, 6), torch.arange(6, 20)]
    split = FixedShares(shares, 7, 0, rank=0)
    for draw in range(50):
        expected = [(draw + 1) * 7 * size // 20 - draw * 7 * size // 20 for size in (5, 1, 14)]
        assert split.counts(draw) == expected


@pytest.mark.parametrize("alpha", [0.5, 10.0])
def test_dirichlet_proportions_have_the_right_mean_and_variance(alpha):
    """Over seeds, classes and ranks: mean 1/K, variance (K - 1) / (K^2 (K alpha + 1))."""
    ranks, size = 4, 1000
    labels = torch.arange(5 * size) % 5
    found = []
    for seed in range(60):
        try:
            shares = dirichlet_shares(labels, seed, ranks, alpha)
        except ConfigurationError:
            continue  # which is rare with five classes
        found.append(torch.stack([labels[share].bincount(minlength=5) for share in shares]) / size)
    assert len(found) >= 58
    proportions = torch.stack(found)  # (seeds, ranks, classes)
    variance = (ranks - 1) / (ranks**2 * (ranks * alpha + 1))
    deviation = (variance / (len(found) * 5)) ** 0.5
    assert torch.all((proportions.mean((0, 2)) - 1 / ranks).abs() < 5 * deviation)
    assert proportions.var() == pytest.approx(variance, rel=0.15)


def test_dirichlet_classes_are_skewed_independently():
    labels = torch.arange(2000) % 2
    of_first = []
    for seed in range(200):
        shares = dirichlet_shares(labels, seed, 2, 1.0)
        of_first.append(labels[shares[0]].bincount(minlength=2))
    correlation = torch.corrcoef(torch.stack(of_first).T.double())[0, 1]
    assert abs(correlation) < 0.35  # five standard deviations


@pytest.mark.parametrize("alpha", [1e-3, 0.1])
def test_an_empty_share_says_what_to_do(alpha):
    with pytest.raises(
        ConfigurationError,
        match=rf"^the split of 20 samples over 8 ranks by Dirichlet\({alpha:g}\) leaves ranks? [0-7, ]+ without "
        r"samples; use a larger --dirichlet-alpha, another --seed, or fewer ranks$",
    ):
        dirichlet_shares(torch.arange(20) % 2, 0, 8, alpha)


@pytest.mark.parametrize("name", ["fixed", "sorted"])
def test_more_ranks_than_images_are_refused(name):
    with pytest.raises(ConfigurationError, match="3 images cannot be split over 4 ranks; use fewer ranks"):
        make_split(name, labelled(3), 8, 0, 0, 4)


def test_splits_by_label_need_labels(tmp_path):
    (tmp_path / "a.png").write_bytes(b"unread")
    images = ImageFiles("celeba", tmp_path, ["a.png"] * 5, [0] * 5, 0, side=8)
    for name in ("sorted", "dirichlet"):
        with pytest.raises(ConfigurationError, match=f"celeba has no labels for the split {name}; use reshuffled or"):
            make_split(name, images, 2, 0, 0, 2)
    assert describe(make_split("fixed", images, 2, 0, 0, 2), images) == "2 ranks draw from 2 to 3 images each"


def test_an_unknown_split_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown split 'sort'; did you mean 'sorted'"):
        make_split("sort", labelled(5), 2, 0, 0, 2)


def test_what_people_read_about_a_split():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2] * 2)
    images = InMemory("uneven", torch.zeros(11, 1, 1, 1, dtype=torch.uint8), labels)
    split = make_split("sorted", images, 4, 0, 0, 2)
    assert class_counts(split, images) == [[5, 0, 0], [1, 3, 2]]
    assert describe(split, images) == "2 ranks draw from 5 to 6 images each, of 1 to 3 of the 3 classes"
    split = make_split("reshuffled", images, 4, 0, 0, 2)
    assert class_counts(split, images) == [[6, 3, 2], [6, 3, 2]]
    assert describe(split, images) == "2 ranks draw from all 11 images"
    assert describe(make_split("fixed", images, 4, 0, 0, 1), images) == (
        "1 rank draws from 11 images each, of 3 of the 3 classes"
    )


@pytest.mark.parametrize(("count", "ranks"), [(10, 3), (2, 5), (0, 2), (9, 3)])
def test_shares_are_contiguous_and_even(count, ranks):
    shares = [share_of(count, rank, ranks) for rank in range(ranks)]
    assert [index for share in shares for index in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
