"""Stretches of a text for training, draw by draw."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hvd_qgenx.data.splits import share_of
from hvd_qgenx.errors import ConfigurationError


class TokenStreams:
    """The tokens of a text in streams of equal length, of which every rank reads its own, side by side.

    An epoch goes through the streams stretch by stretch; the last stretch may be shorter. Streams are contiguous
    parts of the text, and ranks have contiguous parts of the streams, so no token is read twice in an epoch. The
    last tokens of the text, fewer than there are streams, are left out.
    """

    def __init__(self, tokens: Tensor, streams: int, length: int, rank: int, ranks: int) -> None:
        """
        Args:
            tokens: int32 (n,).
            streams: over all ranks; at least ``ranks``.
            length: tokens of a stretch that are predicted.
            rank: this rank.
            ranks: number of ranks.

        Raises:
            ConfigurationError: a stream is shorter than a stretch.
        """
        each = len(tokens) // streams
        check_length(len(tokens), streams, length)
        self.length, self.rank = length, rank
        self.targets = each - 1
        """Tokens of a stream that are predicted in an epoch; the first is not."""
        self.stretches = -(-self.targets // length)
        """Draws in an epoch."""
        self.shares = [share_of(streams, other, ranks) for other in range(ranks)]
        mine = self.shares[rank]
        self._table = tokens[mine.start * each : mine.stop * each].view(len(mine), each)

    def __len__(self) -> int:
        """Number of streams of this rank."""
        return len(self._table)

    def starts(self, draw: int) -> bool:
        """Tells whether a draw is the first of an epoch, before which a model has read nothing."""
        return draw % self.stretches == 0

    def counts(self, draw: int) -> Sequence[int]:
        """Returns the number of tokens that every rank predicts in this draw."""
        return [len(share) * len(self._stretch(draw)) for share in self.shares]

    def __call__(self, draw: int) -> tuple[Tensor, Tensor]:
        """Returns this rank's tokens, int64 (streams, t), and those that follow each, of the same shape."""
        stretch = self._stretch(draw)
        tokens = self._table[:, stretch.start : stretch.stop + 1].to(torch.int64)
        return tokens[:, :-1], tokens[:, 1:]

    def _stretch(self, draw: int) -> range:
        start = draw % self.stretches * self.length
        return range(start, min(start + self.length, self.targets))


def check_length(tokens: int, streams: int, length: int) -> None:
    """Raises ConfigurationError if a text is too short to have so many streams of at least one stretch."""
    if tokens // streams <= length:
        raise ConfigurationError(
            f"{tokens:,} tokens in {streams} streams are {tokens // streams:,} each, too few for stretches of {length} "
            "and the token that follows; choose a smaller --batch-size or --bptt"
        )
