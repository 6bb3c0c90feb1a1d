"""Splits of a data set over ranks: the samples that every rank draws, and when."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from compressors.naming import unknown
from compressors.random import derive, generator
from hvd_qgenx.data.images import ImageSet
from hvd_qgenx.data.registry import SPLITS
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.errors import ConfigurationError


class Split(ABC):
    """Assigns samples to ranks, as a function of the seed and the number of the draw, so there is no state to store.

    The parts of all ranks, one after the other, are the whole batch. Batch sizes are at least the number of ranks,
    so the whole batch is never empty; the part of a rank may be.
    """

    def __init__(self, batch_size: int, rank: int, shares: Sequence[Tensor]) -> None:
        """
        Args:
            batch_size: samples in a draw, over all ranks.
            rank: this rank.
            shares: for every rank, the samples that it draws from, int64 (n,).
        """
        self.batch_size, self.rank, self.shares = batch_size, rank, shares

    @abstractmethod
    def counts(self, draw: int) -> list[int]:
        """Returns the number of samples of every rank in this draw."""

    @abstractmethod
    def indices(self, draw: int) -> list[int]:
        """Returns the samples of this rank in this draw."""

    def places(self, draw: int) -> range:
        """Returns where this rank's samples stand in the whole batch."""
        counts = self.counts(draw)
        first = sum(counts[: self.rank])
        return range(first, first + counts[self.rank])


class Reshuffled(Split):
    """Every epoch is a permutation of all samples, and each rank takes its part of every batch.

    All epochs' permutations are laid end to end. Draw number t takes the t-th ``batch_size`` of them; the parts of
    ranks are disjoint, and their sizes are constant and differ by one at most.
    """

    def __init__(self, samples: int, batch_size: int, seed: int, rank: int, ranks: int) -> None:
        """
        Args:
            samples: number of samples.
            batch_size: samples in a draw, over all ranks.
            seed: decides the order.
            rank: this rank.
            ranks: number of ranks.
        """
        everything = torch.arange(samples)
        super().__init__(batch_size, rank, [everything] * ranks)
        self._epochs = _Epochs(everything, seed, RandomStream.ORDER)
        self._counts = [len(share_of(batch_size, each, ranks)) for each in range(ranks)]

    def counts(self, draw: int) -> list[int]:
        return self._counts

    def indices(self, draw: int) -> list[int]:
        start, places = draw * self.batch_size, self.places(draw)
        return self._epochs.at(range(start + places.start, start + places.stop))


class FixedShares(Split):
    """Every rank draws from a share of its own, reshuffled in every epoch.

    With shares of n_0 .. n_{K-1} samples, N together, and a batch size of B, draw number t takes the places
    floor(t B n_k / N) to floor((t + 1) B n_k / N) of rank k's own endless stream of permutations. So an epoch of all
    samples is an epoch on every rank, and every sample is drawn once in it, however uneven the shares are. Counts
    vary by one from draw to draw; their sum is B up to rounding, and a rank with a small share may have none.
    """

    def __init__(self, shares: Sequence[Tensor], batch_size: int, seed: int, rank: int) -> None:
        """
        Args:
            shares: the samples of every rank, none empty.
            batch_size: samples in a draw, over all ranks, up to rounding.
            seed: decides the order.
            rank: this rank.
        """
        super().__init__(batch_size, rank, shares)
        self._samples = sum(map(len, shares))
        self._epochs = _Epochs(shares[rank], seed, RandomStream.SHARE_ORDER, rank)

    def counts(self, draw: int) -> list[int]:
        return [len(self._stretch(draw, rank)) for rank in range(len(self.shares))]

    def indices(self, draw: int) -> list[int]:
        return self._epochs.at(self._stretch(draw, self.rank))

    def _stretch(self, draw: int, rank: int) -> range:
        """The places of this draw in a rank's own stream."""
        pace = self.batch_size * len(self.shares[rank])
        return range(draw * pace // self._samples, (draw + 1) * pace // self._samples)


class _Epochs:
    """Permutations of samples, one for every epoch, laid end to end."""

    def __init__(self, samples: Tensor, *words: int) -> None:
        """
        Args:
            samples: int64 (n,), not empty.
            words: with the epoch, they decide its order.
        """
        self.samples, self.words = samples, words
        self._permutation = functools.lru_cache(maxsize=2)(self._permute)

    def at(self, places: range) -> list[int]:
        """Returns the samples at these places."""
        found: list[int] = []
        while places:
            epoch, place = divmod(places[0], len(self.samples))
            part = self._permutation(epoch)[place : place + len(places)]
            found += part.tolist()
            places = places[len(part) :]
        return found

    def _permute(self, epoch: int) -> Tensor:
        return self.samples[torch.randperm(len(self.samples), generator=generator(*self.words, epoch))]


def make_split(
    name: str, images: ImageSet, batch_size: int, seed: int, rank: int, ranks: int, dirichlet_alpha: float = 1.0
) -> Split:
    """Makes a split by its name.

    Args:
        name: one of ``SPLITS``.
        images: what to split.
        batch_size: images in a draw, over all ranks; at least ``ranks``.
        seed: decides shares and order.
        rank: this rank.
        ranks: number of ranks.
        dirichlet_alpha: concentration of the split ``dirichlet``, positive; the smaller, the more uneven.

    Raises:
        ConfigurationError: a rank would have no samples, there are no labels to split by, or there is no such split.
    """
    match name:
        case "reshuffled":
            return Reshuffled(len(images), batch_size, seed, rank, ranks)
        case "fixed":
            shares = fixed_shares(len(images), seed, ranks)
        case "sorted":
            shares = sorted_shares(_labels(images, name), ranks)
        case "dirichlet":
            shares = dirichlet_shares(_labels(images, name), seed, ranks, dirichlet_alpha)
        case _:
            raise ConfigurationError(unknown("split", name, SPLITS))
    if len(images) < ranks:
        raise ConfigurationError(f"{len(images)} images cannot be split over {ranks} ranks; use fewer ranks")
    return FixedShares(shares, batch_size, seed, rank)


def fixed_shares(samples: int, seed: int, ranks: int) -> list[Tensor]:
    """Returns the parts of one permutation of all samples; their sizes differ by one at most."""
    return _cut(_dealt(samples, seed), ranks)


def sorted_shares(labels: Tensor, ranks: int) -> list[Tensor]:
    """Returns contiguous parts of the samples sorted by label: the most heterogeneous split.

    CHOCO-SGD is tested on it (Koloskova, Stich and Jaggi, ICML 2019, section 5).

    Args:
        labels: int64 (samples,).
        ranks: number of parts; their sizes differ by one at most.
    """
    return _cut(labels.argsort(stable=True), ranks)


def dirichlet_shares(labels: Tensor, seed: int, ranks: int, alpha: float) -> list[Tensor]:
    """Returns shares with skewed labels and sizes: for each class, proportions over ranks drawn from Dirichlet(alpha).

    The scheme of Yurochkin et al. (ICML 2019); Hsu et al. (2019) draw proportions over classes for each rank instead.

    Args:
        labels: int64 (samples,).
        seed: decides the proportions, and with them the shares.
        ranks: number of shares.
        alpha: concentration; towards 0 each class goes to one rank, towards infinity all ranks get the same of each.

    Raises:
        ConfigurationError: a share is empty.
    """
    order = _dealt(len(labels), seed)
    parts: list[list[Tensor]] = [[] for _ in range(ranks)]
    for label in labels.unique().tolist():
        members = order[labels[order] == label]
        random = np.random.default_rng(derive(seed, RandomStream.DIRICHLET, label))
        proportions = random.dirichlet(np.full(ranks, alpha))
        ends = (proportions.cumsum()[:-1] * len(members)).astype(int).tolist()
        for rank, part in enumerate(members.tensor_split(ends)):
            parts[rank].append(part)
    shares = [torch.cat(part) for part in parts]
    if empty := [str(rank) for rank, share in enumerate(shares) if not len(share)]:
        raise ConfigurationError(
            f"the split of {len(labels)} samples over {ranks} ranks by Dirichlet({alpha:g}) leaves "
            f"{'rank' if len(empty) == 1 else 'ranks'} {', '.join(empty)} without samples; "
            "use a larger --dirichlet-alpha, another --seed, or fewer ranks"
        )
    return shares


def share_of(count: int, rank: int, ranks: int) -> range:
    """Returns a rank's contiguous share of ``count`` things; shares of all ranks differ by one at most in size."""
    return range(count * rank // ranks, count * (rank + 1) // ranks)


def class_counts(split: Split, images: ImageSet) -> list[list[int]]:
    """Returns how many images of each class every rank draws from, by rank and label."""
    return [images.labels[share].bincount(minlength=images.classes).tolist() for share in split.shares]


def describe(split: Split, images: ImageSet) -> str:
    """Returns one line for people: the sizes of shares and, where images have labels, the classes in them."""
    ranks = "1 rank draws" if len(split.shares) == 1 else f"{len(split.shares)} ranks draw"
    if isinstance(split, Reshuffled):
        return f"{ranks} from all {len(images)} images"
    text = f"{ranks} from {_span([len(share) for share in split.shares])} images each"
    if not images.classes:
        return text
    present = [sum(count > 0 for count in counts) for counts in class_counts(split, images)]
    return f"{text}, of {_span(present)} of the {images.classes} classes"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _dealt(samples: int, seed: int) -> Tensor:
    """The order in which samples are dealt to shares."""
    return torch.randperm(samples, generator=generator(seed, RandomStream.SHARES))


def _cut(order: Tensor, ranks: int) -> list[Tensor]:
    shares = (share_of(len(order), rank, ranks) for rank in range(ranks))
    return [order[share.start : share.stop] for share in shares]


def _labels(images: ImageSet, split: str) -> Tensor:
    if not images.classes:
        raise ConfigurationError(f"{images.name} has no labels for the split {split}; use reshuffled or fixed")
    return images.labels
