"""Every exchange with every compressor: the mean, the same bits everywhere, the bytes, the noise."""

from itertools import pairwise

import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Codec, ExchangeOptions
from hvd_qgenx.exchange.slices import MOST_SLICES, SLICE_BYTES
from hvd_qgenx.transport import inprocess

EXCHANGES = ("allreduce", "allgather", "two-phase")
COMBINATIONS = [
    (exchange, compressor)
    for exchange in EXCHANGES
    for compressor in compressors.names()
    if exchange != "allreduce" or compressors.get(compressor).reduction == "average"
    if exchange != "two-phase" or not compressors.get(compressor).shared_randomness
]


def vectors(ranks: int, numel: int) -> torch.Tensor:
    return torch.randn(ranks, numel, generator=torch.Generator().manual_seed(numel))


def exchanged(name: str, compressor: compressors.Compressor, rows: torch.Tensor, slice_bytes=SLICE_BYTES):
    """(mean, report) of every rank."""

    def work(transport):
        how, vector = exchange.make(name, transport, slice_bytes), rows[transport.rank].clone()
        codec = Codec([(compressor.for_rank(transport.rank), len(vector))], vector.dtype)
        transfer = how.begin(vector, codec, "x")
        return how.compute_mean(transfer), transfer.report

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

    bounds = Codec([(leaf, numel)], torch.float32).cut(0, numel, ranks)
    chunks = [leaf.payload_bytes(stop - start) for start, stop in pairwise(bounds)]
    for rank, (_, report) in enumerate(exchanged("two-phase", leaf, rows)):
        assert report.bytes_sent == sum(chunks) - chunks[rank] + (ranks - 1) * chunks[rank]

    for _, report in exchanged("allreduce", compressors.make("fp16"), rows):
        assert report.bytes_sent == 2 * (ranks - 1) * 2 * numel // ranks


def test_two_phase_bytes_do_not_grow_with_ranks():
    leaf, numel = compressors.make("minmax", bits=4), 1 << 18
    sent = {k: max(r.bytes_sent for _, r in exchanged("two-phase", leaf, vectors(k, numel))) for k in (2, 4, 8, 16)}
    for ranks, count in sent.items():
        assert count == pytest.approx(2 * (ranks - 1) / ranks * leaf.payload_bytes(numel), rel=0.01)


@pytest.mark.parametrize("name", ["allgather", "two-phase"])
def test_measured_error_is_that_of_what_others_decode(name):
    rows = vectors(3, 4096)

    def work(transport):
        codec = Codec([(compressors.make("minmax", bits=4), 4096)], torch.float32)
        how, vector = exchange.make(name, transport), rows[transport.rank].clone()
        transfer = how.begin(vector, codec, "x", ExchangeOptions(measure_error=True, keep_own=True))
        how.compute_mean(transfer)
        return transfer

    for row, transfer in zip(rows, inprocess.run(3, work), strict=True):
        error = (transfer.own - row).double().square().sum()
        assert transfer.report.relative_error == pytest.approx(float(error / row.double().square().sum()))
        assert 0.02 < transfer.report.relative_error < 0.05
        assert min(getattr(transfer.report, f"{phase}_seconds") for phase in ("encode", "wire", "decode")) > 0


@pytest.mark.parametrize(
    ("numel", "parts", "bucket"), [(0, 3, 8), (5, 3, 8), (100, 3, 8), (100, 4, 1), (64, 2, 32), (4099, 16, 256)]
)
def test_cut_is_whole_and_aligned(numel, parts, bucket):
    codec = Codec([(compressors.make("minmax", bucket_size=bucket), numel)], torch.float32)
    bounds = codec.cut(0, numel, parts)
    assert (bounds[0], bounds[-1], len(bounds)) == (0, numel, parts + 1)
    assert bounds == sorted(bounds)
    assert all(bound % bucket == 0 or bound == numel for bound in bounds)
    lengths = [stop - start for start, stop in pairwise(bounds)]
    assert max(lengths) - min(lengths) <= 2 * bucket


def test_cut_weighs_what_is_not_compressed():
    """Uncompressed coordinates cost eight times those of 4 bits."""
    members = [(compressors.make("minmax", bucket_size=8192, bits=4), 80_000), (compressors.make("none"), 10_000)]
    codec = Codec(members, torch.float32)
    start, middle, stop = codec.cut(0, 90_000, 2)
    assert abs(codec.payload_bytes(start, middle) - codec.payload_bytes(middle, stop)) <= 2 * 4096
    assert codec.payload_bytes(0, 90_000) == codec.payload_bytes(start, middle) + codec.payload_bytes(middle, stop)


@pytest.mark.parametrize("name", ["allgather", "two-phase"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_two_compressors_share_a_vector(name, dtype):
    """What is not compressed comes back exact, beside what is."""
    rows = vectors(3, 3000).to(dtype)

    def work(transport):
        codec = Codec([(compressors.make("dither", bits=8), 2000), (compressors.make("none"), 1000)], dtype)
        how, vector = exchange.make(name, transport, 500), rows[transport.rank].clone()
        return how.compute_mean(how.begin(vector, codec, "x"))

    means = inprocess.run(3, work)
    assert all(torch.equal(means[0], mean) for mean in means)
    exact = rows.float().mean(0)
    torch.testing.assert_close(means[0][2000:], exact[2000:].to(dtype))
    torch.testing.assert_close(means[0][:2000].float(), exact[:2000], rtol=0, atol=0.1)


def test_payloads_of_unknown_length_travel_alone():
    coded = compressors.Coded(compressors.make("uniform"))
    with pytest.raises(ValueError, match="cannot share a vector"):
        Codec([(coded, 5), (compressors.make("none"), 5)], torch.float32)


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("slice_bytes", [1, 1000, 1 << 19])
def test_slices_keep_the_mean_and_the_bytes(name, slice_bytes):
    rows, leaf = vectors(3, 50_000), compressors.make("fp16" if name == "allreduce" else "minmax")
    (mean, report), *others = exchanged(name, leaf, rows, slice_bytes=slice_bytes)
    assert all(torch.equal(mean, other) for other, _ in others)
    assert (mean - rows.mean(0)).square().sum() <= 4 * sum(leaf.variance_bound(row) for row in rows) / 3 + 1e-6
    whole = exchanged(name, leaf, rows)[0][1].bytes_sent
    assert report.bytes_sent == pytest.approx(whole, rel=0.05)


def test_the_number_of_slices_is_bounded():
    codec = Codec([(compressors.make("minmax"), 1 << 20)], torch.float32)
    for slice_bytes, expected in ((1, MOST_SLICES), (1 << 17, 5), (1 << 30, 1)):
        assert len(exchange.TwoPhase(inprocess.InProcess(), slice_bytes).slices(codec)) == expected + 1


@pytest.mark.parametrize("slice_bytes", [0, -5])
def test_slices_that_cannot_be(slice_bytes):
    with pytest.raises(ConfigurationError, match=f"a slice must have at least 1 byte, not {slice_bytes}"):
        exchange.make("two-phase", inprocess.InProcess(), slice_bytes)


@pytest.mark.parametrize("compressor", ["minmax", "rotated", "variable", "none"])
def test_hierarchical_is_the_mean_of_the_means_of_hosts(compressor):
    """Four ranks on two hosts: what crosses hosts is half of each host's payloads for each of its ranks."""
    leaf, rows = compressors.make(compressor), vectors(4, 20_000)

    def work(transport):
        codec = Codec([(leaf.for_rank(transport.rank), 20_000)], torch.float32)
        how, vector = exchange.make("hierarchical", transport), rows[transport.rank].clone()
        transfer = how.begin(vector, codec, "x")
        return how.compute_mean(transfer), transfer.report.bytes_sent

    results = inprocess.run(4, work, hosts=2)
    means = [mean for mean, _ in results]
    assert all(torch.equal(means[0], mean) for mean in means)
    hosts = rows.view(2, 2, -1).mean(1)
    bound = 2 * sum(leaf.variance_bound(host) for host in hosts) / 4
    assert (means[0] - rows.mean(0)).square().sum() <= bound + 1e-6
    assert sum(sent for _, sent in results[:2]) == pytest.approx(leaf.payload_bytes(20_000), rel=0.02)


def test_hierarchical_finds_whose_gradient_is_not_finite():
    def work(transport):
        codec = Codec([(compressors.make("minmax"), 3000)], torch.float32)
        vector = torch.ones(3000)
        if transport.rank == 1:
            vector[1234] = torch.nan
        how = exchange.make("hierarchical", transport)
        transfer = how.begin(vector, codec, "x")
        how.compute_mean(transfer)
        return transfer.finite, transfer.not_finite

    assert inprocess.run(4, work, hosts=2) == [(False, [1234] if rank == 1 else []) for rank in range(4)]


def test_hierarchical_needs_hosts_that_are_alike():
    def work(transport):
        exchange.make("hierarchical", transport)

    with pytest.raises(ConfigurationError, match="hosts with equal numbers of ranks"):
        inprocess.run(3, work, hosts=2)


def test_names_that_do_not_fit():
    solo = inprocess.InProcess()
    with pytest.raises(ConfigurationError, match="unknown exchange 'allgathr'; did you mean 'allgather'"):
        exchange.make("allgathr", solo)
    with pytest.raises(ValueError, match="payloads of minmax cannot be averaged"):
        exchange.make("allreduce", solo).mean(torch.zeros(3), compressors.make("minmax"), "x")


def test_parts_say_where_they_begin():
    """Two-phase: every chunk on its way out, then this rank's own chunk of the mean, which is rounded alone."""

    def work(transport):
        seen = []

        class Recorder(compressors.MinMax):
            def write(self, vector, payload, key, start=0, shared=None):
                seen.append((start, len(vector), shared is None))
                return super().write(vector, payload, key, start, shared)

        exchange.make("two-phase", transport).mean(torch.randn(70), Recorder(bucket_size=8), "parts")
        return seen

    for rank, seen in enumerate(inprocess.run(3, work)):
        chunks = [(0, 24), (24, 24), (48, 22)]
        assert seen == [*((*chunk, False) for chunk in chunks), (*chunks[rank], True)]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("keep_own", [False, True])
@pytest.mark.parametrize("compressor", ["none", "fp16"])
def test_sums_tell_whose_gradient_was_not_finite(compressor, keep_own, apart):
    """Both where the mean takes the vector's place and where it lies apart: the vector is then looked at afterwards."""

    def work(transport):
        how, vector = exchange.make("allreduce", transport, 100), torch.ones(9000)
        if transport.rank == 1:
            vector[[7, 8500]] = torch.tensor([torch.inf, torch.nan])
        out = torch.empty_like(vector) if apart else None
        codec = Codec([(compressors.make(compressor), 9000)], torch.float32)
        transfer = how.begin(vector, codec, "x", ExchangeOptions(keep_own=keep_own), out)
        how.compute_mean(transfer)
        return transfer.finite, transfer.not_finite

    assert inprocess.run(3, work) == [(False, []), (False, [7, 8500]), (False, [])]
