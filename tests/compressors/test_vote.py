"""Majority vote."""

import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.transport import inprocess

NUMEL = 5000


def voted(rows: torch.Tensor, name: str = "auto", **values):
    def work(transport):
        compressor = compressors.make("vote", **values).for_rank(transport.rank, ranks=transport.size)
        codec = Codec([(compressor, NUMEL)], rows.dtype)
        how = exchange.make(name, transport).resolve(codec)
        transfer = how.begin(rows[transport.rank].clone(), codec, "x")
        return how.compute_mean(transfer), transfer

    return inprocess.run(len(rows), work)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
def test_every_rank_gets_the_majority(ranks):
    rows = torch.randn(ranks, NUMEL, generator=torch.Generator().manual_seed(ranks))
    expected = 0.5 * torch.where(rows >= 0, 1, -1).sum(0).sign()
    for mean, transfer in voted(rows, magnitude=0.5):
        assert torch.equal(mean, expected)
        assert transfer.finite


def test_a_bit_each_way():
    rows = torch.randn(3, NUMEL)
    for _, transfer in voted(rows):
        chunk = 1024 * 2  # of 5000 coordinates in blocks of 1024
        assert transfer.report.bytes_sent <= 2 * (1 + chunk // 8) + 2 * (1 + 8 + chunk // 8)


def test_not_a_number_is_reported():
    rows = torch.randn(3, NUMEL)
    rows[2, 7] = torch.nan
    for rank, (mean, transfer) in enumerate(voted(rows)):
        assert not transfer.finite
        assert mean[7].isnan()
        assert transfer.not_finite == ([7] if rank == 2 else [])


def test_votes_are_not_added_in_two_steps():
    with pytest.raises(ConfigurationError, match="use integer-sum"):
        exchange.get("hierarchical-sum").check(compressors.make("vote"))
