"""Every exchange with every compressor: the mean, the same bits everywhere, the bytes, the noise."""

import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.twophase import cut
from hvd_qgenx.transport import inprocess

EXCHANGES = ("allreduce", "allgather", "two-phase")
COMBINATIONS = [
    (exchange, compressor)
    for exchange in EXCHANGES
    for compressor in compressors.names()
    if exchange != "allreduce" or compressors.get(compressor).summable
]


def vectors(ranks: int, numel: int) -> torch.Tensor:
    return torch.randn(ranks, numel, generator=torch.Generator().manual_seed(numel))


def exchanged(name: str, compressor: compressors.Compressor, rows: torch.Tensor, measure: bool = False):
    """(mean, report) of every rank."""

    def work(transport):
        pending = exchange.make(name, transport).start(
            rows[transport.rank], compressor.for_rank(transport.rank), "x", measure
        )
        return pending.wait(), pending.report

    return inprocess.run(len(rows), work)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("numel", [1, 5, 1000, 4099])
@pytest.mark.parametrize("name", EXCHANGES)
def test_without_compression_it_is_the_mean(name, numel, ranks):
    rows = vectors(ranks, numel)
    for mean, _ in exchanged(name, compressors.make("none"), rows):
        torch.testing.assert_close(mean, rows.mean(0))


@pytest.mark.parametrize(("name", "compressor"), COMBINATIONS)
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_all_ranks_get_the_same_bits_close_to_the_mean(name, ranks, compressor):
    leaf = compressors.make(compressor)
    rows = vectors(ranks, 5000)
    results = [mean for mean, _ in exchanged(name, leaf, rows)]
    assert all(torch.equal(results[0], other) for other in results)
    bound = 4 * sum(leaf.variance_bound(row) for row in rows) / ranks
    assert (results[0] - rows.mean(0)).square().sum() <= bound + 1e-6


@pytest.mark.parametrize("name", ["allgather", "two-phase"])
def test_compressed_means_are_unbiased_with_the_variance_of_their_scheme(name):
    """All-gather averages K independent errors; two-phase adds the error of compressing the mean."""
    ranks, draws, leaf = 3, 400, compressors.make("minmax", bits=3, bucket_size=64)
    rows = vectors(ranks, 192)

    def work(transport):
        own, how = leaf.for_rank(transport.rank), exchange.make(name, transport)
        return torch.stack([how.mean(rows[transport.rank], own, "x") for _ in range(draws)])

    means = inprocess.run(ranks, work)[0].double()
    exact = rows.double().mean(0)
    standard_error = means.std(0) / draws**0.5
    assert ((means.mean(0) - exact).abs() <= 5 * standard_error + 1e-7).all()

    bound = sum(leaf.variance_bound(row) for row in rows) / ranks**2
    if name == "two-phase":
        bound += 1.2 * leaf.variance_bound(rows.mean(0))
    variance = float((means - exact).square().sum(1).mean())
    assert 0.3 * bound < variance < bound


@pytest.mark.parametrize(("ranks", "numel"), [(2, 3000), (3, 5000), (4, 100), (8, 3)])
def test_bytes_are_those_of_the_payloads_sent(ranks, numel):
    rows, leaf = vectors(ranks, numel), compressors.make("minmax", bits=4, bucket_size=128)
    whole = leaf.payload_bytes(numel)
    assert [report.bytes_sent for _, report in exchanged("allgather", leaf, rows)] == [(ranks - 1) * whole] * ranks

    chunks = [leaf.payload_bytes(len(chunk)) for chunk in cut(rows[0], ranks, leaf.alignment)]
    for rank, (_, report) in enumerate(exchanged("two-phase", leaf, rows)):
        assert report.bytes_sent == sum(chunks) - chunks[rank] + (ranks - 1) * chunks[rank]

    for _, report in exchanged("allreduce", compressors.make("fp16"), rows):
        assert report.bytes_sent == 2 * (ranks - 1) * 2 * numel // ranks


def test_two_phase_bytes_do_not_grow_with_ranks():
    leaf, numel = compressors.make("minmax", bits=4), 1 << 18
    sent = {k: max(r.bytes_sent for _, r in exchanged("two-phase", leaf, vectors(k, numel))) for k in (2, 4, 8, 16)}
    for ranks, count in sent.items():
        assert count == pytest.approx(2 * (ranks - 1) / ranks * leaf.payload_bytes(numel), rel=0.01)


def test_measured_error_is_that_of_the_payload():
    leaf = compressors.make("minmax", bits=4)
    rows = vectors(2, 4096)
    for rank, (_, report) in enumerate(exchanged("allgather", leaf, rows, measure=True)):
        own = leaf.for_rank(rank)
        error = (own.decompress(*own.compress(rows[rank])) - rows[rank]).double().square().sum()
        assert report.relative_error == pytest.approx(float(error / rows[rank].double().square().sum()))
        assert min(report.encode_seconds, report.wire_seconds, report.decode_seconds) > 0


@pytest.mark.parametrize(("numel", "parts", "alignment"), [(0, 3, 8), (5, 3, 8), (100, 3, 8), (100, 4, 1), (64, 2, 32)])
def test_cut_is_whole_and_aligned(numel, parts, alignment):
    vector = torch.arange(float(numel))
    chunks = cut(vector, parts, alignment)
    assert len(chunks) == parts
    assert torch.equal(torch.cat(chunks), vector)
    starts = torch.tensor([0, *(len(chunk) for chunk in chunks[:-1])]).cumsum(0)
    assert all(start % alignment == 0 or start == numel for start in starts.tolist())


@pytest.mark.parametrize(
    ("compressor", "ranks", "expected"),
    [
        ("none", 3, exchange.AllReduce),
        ("fp16", 3, exchange.AllReduce),
        ("minmax", 1, exchange.AllGather),
        ("minmax", 2, exchange.AllGather),
        ("minmax", 3, exchange.TwoPhase),
    ],
)
def test_auto(compressor, ranks, expected):
    choice = exchange.Auto(inprocess.InProcess(0, inprocess.Meeting(ranks))).choose(compressors.make(compressor))
    assert type(choice) is expected


def test_names_that_do_not_fit():
    solo = inprocess.InProcess()
    with pytest.raises(ConfigurationError, match="unknown exchange 'allgathr'; did you mean 'allgather'"):
        exchange.make("allgathr", solo)
    with pytest.raises(ValueError, match="payloads of minmax cannot be added"):
        exchange.make("allreduce", solo).start(torch.zeros(3), compressors.make("minmax"), "x")


def test_parts_say_where_they_begin():
    """Two-phase: every chunk on its way out, then this rank's own chunk of the mean."""

    def work(transport):
        compressor = compressors.make("minmax", bucket_size=8)
        seen, compress_part = [], compressor.compress_part

        def recorded(part, start):
            seen.append((start, len(part)))
            return compress_part(part, start)

        compressor.compress_part = recorded
        exchange.make("two-phase", transport).mean(torch.randn(70), compressor, "parts")
        return seen

    for rank, seen in enumerate(inprocess.run(3, work)):
        chunks = [(0, 24), (24, 24), (48, 22)]
        assert seen == [*chunks, chunks[rank]]
