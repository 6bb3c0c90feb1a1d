"""Blocks that compete for bits are dealt out to the parts of a range."""

from itertools import pairwise

import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.exchange import Codec, ExchangeOptions
from hvd_qgenx.exchange.transfer import PLAIN
from hvd_qgenx.transport import inprocess

CPU = torch.device("cpu")


def variable(**values) -> compressors.Compressor:
    return compressors.make("variable", bucket_size=256, **values)


def steep(ranks: int, blocks: int, tail: int = 0) -> torch.Tensor:
    """Vectors whose blocks of 256 have less and less energy, by a factor of a million in all."""
    numel = 256 * blocks + tail
    scales = torch.logspace(0, -3, blocks + 1).repeat_interleave(256)[:numel]
    return torch.randn(ranks, numel, generator=torch.Generator().manual_seed(blocks)) * scales


def transfers(compressor, rows, options=PLAIN, slice_bytes=1 << 20):
    """The transfer of every rank, in two phases."""

    def work(transport):
        how, vector = exchange.make("two-phase", transport, slice_bytes), rows[transport.rank].clone()
        codec = Codec([(compressor.for_rank(transport.rank, ranks=len(rows)), len(vector))], vector.dtype)
        transfer = how.begin(vector, codec, "x", options)
        how.compute_mean(transfer)
        return transfer

    return inprocess.run(len(rows), work)


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize(("first", "numel"), [(0, 256 * 12), (0, 256 * 11 + 7), (512, 5000), (0, 300), (0, 0)])
def test_every_coordinate_goes_to_one_place_and_back(first, numel, parts):
    """Also beside coordinates that stay in their places, and where a slice does not begin with the vector."""
    members = [(variable(), numel), (compressors.make("none"), 100), (compressors.make("dynamiq"), 1300)]
    codec = Codec(members, torch.float32)
    bounds = codec.cut(min(first, numel), codec.numel, parts)
    deal = codec.deal(bounds, CPU)
    vector = torch.arange(codec.numel)
    taken = [deal.take(vector, lo, hi).clone() for lo, hi in pairwise(bounds)]
    assert [len(part) for part in taken] == [hi - lo for lo, hi in pairwise(bounds)]
    assert torch.equal(torch.cat(taken).sort().values, vector[bounds[0] :])
    assert torch.equal(torch.cat(taken)[numel - bounds[0] :][:100], vector[numel : numel + 100])
    back = torch.full_like(vector, -1)
    for part, start in zip(taken, bounds, strict=False):
        deal.put(part, back, start)
    assert torch.equal(back[bounds[0] :], vector[bounds[0] :])


def test_parts_take_blocks_in_turn_and_the_last_part_what_is_no_block():
    codec = Codec([(variable(), 256 * 7 + 5)], torch.float32)
    bounds = codec.cut(0, codec.numel, 3)
    deal = codec.deal(bounds, CPU)
    blocks = [deal.take(torch.arange(codec.numel), lo, hi)[::256] // 256 for lo, hi in pairwise(bounds)]
    assert [part.tolist() for part in blocks] == [[1, 4], [0, 3, 6], [2, 5, 7]]
    assert deal.take(torch.arange(codec.numel), *bounds[-2:])[-5:].tolist() == list(range(256 * 7, 256 * 7 + 5))


@pytest.mark.parametrize("compressor", ["minmax", "variable"])
def test_what_does_not_compete_stays(compressor):
    """Weights of layers need the places of coordinates, so these compete only with neighbours."""
    leaf = compressors.make(compressor, **({"weighting": "per-layer"} if compressor == "variable" else {}))
    codec, vector = Codec([(leaf, 9000)], torch.float32), torch.randn(9000)
    bounds = codec.cut(0, 9000, 3)
    deal = codec.deal(bounds, CPU)
    for lo, hi in pairwise(bounds):
        assert not deal.moves(lo, hi)
        assert deal.take(vector, lo, hi).data_ptr() == vector[lo:hi].data_ptr()


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_the_error_is_that_of_bits_spent_over_the_whole_vector(ranks):
    rows, compressor = steep(ranks, 240, 100), variable(bits=2)
    mean = rows.double().mean(0)
    whole = sum(compressor.variance_bound(row) for row in rows) / ranks**2 + compressor.variance_bound(mean.float())
    for transfer in transfers(compressor, rows):
        assert float((transfer.out - mean).square().sum()) < 1.2 * whole


@pytest.mark.parametrize("name", ["variable", "dynamiq"])
def test_means_are_unbiased(name):
    compressor = variable(bits=0.5) if name == "variable" else compressors.make(name, bits=3)
    rows, draws = steep(3, 12, 50), 150

    def work(transport):
        own, how = compressor.for_rank(transport.rank, ranks=3), exchange.make("two-phase", transport)
        return torch.stack([how.mean(rows[transport.rank], own, "x") for _ in range(draws)])

    off = inprocess.run(3, work)[0].double() - rows.double().mean(0)
    squares = off.square().sum(1).mean()
    assert float(off.mean(0).square().sum()) < 1.3 * float(squares) / draws + compressor.residual_bias * float(squares)


@pytest.mark.parametrize("slice_bytes", [400, 1 << 20])
def test_what_others_decode_and_where_inf_was_are_found_in_place(slice_bytes):
    rows = steep(3, 30, 40)
    kept = transfers(variable(bits=4), rows, ExchangeOptions(measure_error=True, keep_own=True), slice_bytes)
    for row, transfer in zip(rows, kept, strict=True):
        error = float((transfer.own - row).double().square().sum() / row.double().square().sum())
        assert transfer.report.relative_error == pytest.approx(error)
        assert error < 0.02
    rows[1, [600, 4099, 7700]] = torch.inf
    found = transfers(variable(bits=4), rows, slice_bytes=slice_bytes)
    assert [sorted(transfer.not_finite) for transfer in found] == [[], [600, 4099, 7700], []]
    assert not any(transfer.finite for transfer in found)


def test_as_many_bytes_are_sent_as_without():
    rows = steep(4, 40)
    codec = Codec([(variable(), rows.shape[1])], torch.float32)
    bounds = codec.cut(0, codec.numel, 4)
    chunks = [codec.payload_bytes(lo, hi) for lo, hi in pairwise(bounds)]
    for rank, transfer in enumerate(transfers(variable(), rows)):
        assert transfer.report.bytes_sent == sum(chunks) + 2 * chunks[rank]
