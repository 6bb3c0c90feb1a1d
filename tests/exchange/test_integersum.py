"""The exchange that adds integers."""

from itertools import pairwise

import pytest
import torch

import compressors
from compressors.integers import squared_norm
from compressors.kernels import integers
from hvd_qgenx import exchange
from hvd_qgenx.exchange import ExchangeOptions
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.transport import inprocess

NUMEL = 20_000


def rows(ranks: int, numel: int = NUMEL) -> torch.Tensor:
    return torch.randn(ranks, numel, generator=torch.Generator().manual_seed(ranks))


def scaled(rank: int, ranks: int, scale: float, **values) -> compressors.IntSGD:
    compressor = compressors.make("intsgd", **values).for_rank(rank, 7, ranks)
    compressor.set_scales([scale])
    return compressor


def exchanged(vectors: torch.Tensor, scale: float, slice_bytes: int = 1 << 20, name: str = "integer-sum", **values):
    """(transfer, compressor, mean) of every rank."""

    def work(transport):
        compressor = scaled(transport.rank, transport.size, scale, **values)
        codec = Codec([(compressor, vectors.shape[1])], vectors.dtype)
        how = exchange.make(name, transport, slice_bytes).resolve(codec)
        vector = vectors[transport.rank].clone()
        transfer = how.begin(vector, codec, "x", ExchangeOptions(keep_own=True), torch.empty_like(vector))
        return transfer, compressor, how.compute_mean(transfer)

    return inprocess.run(len(vectors), work)


def coded(vectors: torch.Tensor, scale: float, code: str, **values):
    """(bits sent a coordinate, mean) of every rank."""

    def work(transport):
        inner = scaled(transport.rank, transport.size, scale, **values)
        codec = Codec([(compressors.with_coding(inner, code), vectors.shape[1])], vectors.dtype)
        how = exchange.make("auto", transport).resolve(codec)
        transfer = how.begin(vectors[transport.rank].clone(), codec, "x", ExchangeOptions(keep_own=True))
        mean = how.compute_mean(transfer)
        return 8 * transfer.report.bytes_sent / vectors.shape[1], mean, transfer.own, transfer.finite

    return inprocess.run(len(vectors), work)


def integers_of(own: torch.Tensor, compressor: compressors.IntSGD) -> torch.Tensor:
    return (own.double() * compressor.scales[0]).round().long()


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 7, 8])
@pytest.mark.parametrize(("bits", "scale"), [(2, 1.0), (4, 2.0), (8, 1e6), (16, 100.0)])
def test_every_rank_gets_the_exact_sum(bits, scale, ranks):
    """Of its own integers as it knows them; at 8 bits all are saturated."""
    found = exchanged(rows(ranks), scale, slice_bytes=1000, bits=bits)
    total = sum(integers_of(transfer.own, compressor) for transfer, compressor, _ in found)
    factor = torch.tensor(1 / (scale * ranks), dtype=torch.float32)
    for transfer, compressor, mean in found:
        assert torch.equal(mean, total.float() * factor)
        assert transfer.finite
        assert compressor.counts.largest == compressor.most or bits == 16
    assert max(compressor.counts.largest_sum for _, compressor, _ in found) == int(total.abs().max())


@pytest.mark.parametrize("bits", [2, 4, 8, 32])
def test_bytes_are_those_of_payloads_and_sums(bits):
    ranks, bounds = 3, None
    found = exchanged(rows(ranks), 0.7, bits=bits)
    for rank, (transfer, compressor, mean) in enumerate(found):
        bounds = transfer.codec.cut(0, NUMEL, ranks)
        sizes = [compressor.payload_bytes(stop - start) for start, stop in pairwise(bounds)]
        chunk = mean[bounds[rank] : bounds[rank + 1]]
        width = int((chunk * 0.7 * ranks).round().abs().max()).bit_length() + 1
        sums = 1 + integers.packed_bytes(width, integers.BLOCK, len(chunk))
        assert transfer.report.bytes_sent == sum(sizes) - sizes[rank] + (ranks - 1) * (sums + 8)


@pytest.mark.parametrize(("ranks", "bits"), [(3, 5.33), (4, 6.75), (8, 7.88), (16, 9.38)])
def test_bits_of_a_coordinate_at_the_scale_of_training(ranks, bits):
    """The table of fixed widths: 4 bits out, and back the least that holds the sums of iid Gaussian gradients.

    That least is chosen for every chunk, so some sums may be a bit narrower than the widest.
    """
    vectors = rows(ranks, 200_000)
    compressor = scaled(0, ranks, 1.0, bits=4)
    compressor.follow([squared_norm(vectors.mean(0))])
    compressor.rescale([200_000], [1.0])
    found = exchanged(vectors, compressor.scales[0], bits=4)
    sent = [8 * transfer.report.bytes_sent / 200_000 for transfer, _, _ in found]
    assert bits - (ranks - 1) / ranks < sum(sent) / ranks < 1.01 * bits


def test_without_a_scale_it_is_the_exact_mean():
    vectors = rows(3)

    def work(transport):
        compressor = compressors.make("intsgd", bits=2).for_rank(transport.rank, ranks=3)
        how = exchange.make("auto", transport)
        return how.mean(vectors[transport.rank], compressor, "x")

    for mean in inprocess.run(3, work):
        torch.testing.assert_close(mean, vectors.mean(0), rtol=1e-6, atol=1e-7)


def test_a_rank_without_finite_numbers_makes_the_mean_nan():
    vectors = rows(3)
    vectors[1, 12_345] = torch.inf
    found = exchanged(vectors, 1.0)
    for rank, (transfer, _, mean) in enumerate(found):
        assert not transfer.finite
        assert mean[12_345].isnan()
        assert transfer.not_finite == ([12_345] if rank == 1 else [])


@pytest.mark.parametrize("name", ["allgather", "two-phase"])
def test_exchanges_of_payloads_carry_integers_too(name):
    vectors = rows(3)
    found = exchanged(vectors, 100.0, name=name, bits=16)
    for transfer, _, mean in found:
        assert transfer.finite
        assert (mean - vectors.mean(0)).abs().max() < 2.01 / 100


class TestEntropyCoding:
    @pytest.mark.parametrize("code", ["huffman", "elias"])
    @pytest.mark.parametrize(("bits", "scale"), [(2, 1.0), (3, 1.0), (4, 2.0), (8, 30.0), (8, 1e6)])
    def test_means_have_the_same_bits(self, bits, scale, code):
        plain = exchanged(rows(3), scale, bits=bits)
        for (transfer, _, mean), (_, found, own, finite) in zip(
            plain, coded(rows(3), scale, code, bits=bits), strict=True
        ):
            assert torch.equal(mean, found)
            assert torch.equal(transfer.own, own)
            assert finite

    @pytest.mark.parametrize(("ranks", "ideal"), [(3, 2.87), (8, 4.38), (16, 5.17)])
    def test_bits_are_near_the_entropy_at_the_scale_of_training(self, ranks, ideal):
        vectors = rows(ranks, 200_000)
        compressor = scaled(0, ranks, 1.0)
        compressor.fit(vectors.mean(0))
        found = coded(vectors, compressor.scales[0], "huffman", bits=4, rounding="random")
        assert sum(bits for bits, *_ in found) / ranks < 1.05 * ideal

    def test_inf_is_found(self):
        vectors = rows(3)
        vectors[2, 77] = torch.inf
        for _, mean, _, finite in coded(vectors, 1.0, "huffman", bits=4):
            assert not finite
            assert mean[77].isnan()

    def test_wide_integers_have_none(self):
        with pytest.raises(ValueError, match="intsgd: integers of 16 bits have no entropy code; take 8 at most"):
            compressors.with_coding(compressors.make("intsgd", bits=16), "huffman")

    def test_damage_is_found(self):
        one = compressors.with_coding(scaled(0, 2, 1.0, bits=4), "huffman")
        payload = one.compress(rows(1)[0])[0]
        message = one.add_up([payload], NUMEL)
        for broken in (message[:-1], message.clone()):
            broken[len(broken) // 2] ^= 1
            with pytest.raises(compressors.CorruptPayloadError):
                one.decode_mean(broken, torch.empty(NUMEL))

    def test_without_a_scale_nothing_is_coded(self):
        vectors = rows(3)

        def work(transport):
            inner = compressors.make("intsgd", bits=4).for_rank(transport.rank, ranks=3)
            return exchange.make("auto", transport).mean(
                vectors[transport.rank], compressors.with_coding(inner, "huffman"), "x"
            )

        for mean in inprocess.run(3, work):
            torch.testing.assert_close(mean, vectors.mean(0), rtol=1e-6, atol=1e-7)
