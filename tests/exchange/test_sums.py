"""Other ways to the same sums of integers: the transport's all-reduce, and in two steps."""

import pytest
import torch
from torch import nn

import compressors
from hvd_qgenx import DistributedOptimizer, exchange
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import ExchangeOptions
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.transport import inprocess

NUMEL = 30_000


def rows(ranks: int) -> torch.Tensor:
    return torch.randn(ranks, NUMEL, generator=torch.Generator().manual_seed(ranks))


def exchanged(vectors, name, hosts=1, kind="intsgd", scale=2.0, coding=None, slice_bytes=4000, **values):
    def work(transport):
        inner = compressors.make(kind, **values).for_rank(transport.rank, 7, transport.size)
        if scale:
            inner.set_scales([scale])
        compressor = compressors.with_coding(inner, coding) if coding else inner
        codec = Codec([(compressor, NUMEL)], vectors.dtype)
        how = exchange.make(name, transport, slice_bytes).resolve(codec)
        vector = vectors[transport.rank].clone()
        transfer = how.begin(vector, codec, "x", ExchangeOptions(keep_own=True), torch.empty_like(vector))
        return how.compute_mean(transfer), transfer

    return inprocess.run(len(vectors), work, hosts)


WAYS = [("integer-allreduce", 1), ("hierarchical-sum", 2), ("hierarchical-sum", 3)]


@pytest.mark.parametrize(("name", "hosts"), WAYS)
@pytest.mark.parametrize(("bits", "scale"), [(2, 1.0), (4, 2.0), (8, 1e6), (16, 100.0)])
def test_sums_are_those_of_integer_sum(name, hosts, bits, scale):
    vectors, values = rows(6), {"bits": bits, "rounding": "nearest"}
    expected = exchanged(vectors, "integer-sum", scale=scale, **values)
    found = exchanged(vectors, name, hosts, scale=scale, **values)
    for (mean, transfer), (meant, direct) in zip(found, expected, strict=True):
        assert torch.equal(mean, meant)
        assert torch.equal(transfer.own, direct.own)
        assert transfer.finite


@pytest.mark.parametrize(("name", "hosts"), WAYS)
@pytest.mark.parametrize(("bits", "scale"), [(4, 2.0), (8, 1e6)])
def test_sums_are_exact(name, hosts, bits, scale):
    """Random numbers depend on how a vector is cut, so sums are compared with what ranks have sent."""
    found = exchanged(rows(6), name, hosts, scale=scale, bits=bits)
    total = sum((transfer.own.double() * scale).round() for _, transfer in found)
    for mean, _ in found:
        assert torch.equal(mean, total.float() * torch.tensor(1 / (scale * 6), dtype=torch.float32))


@pytest.mark.parametrize("coding", ["huffman", "elias"])
def test_sums_in_two_steps_can_be_coded(coding):
    vectors = rows(4)
    values = {"bits": 4, "rounding": "nearest"}
    expected = exchanged(vectors, "integer-sum", **values)
    for (mean, _), (meant, _) in zip(
        exchanged(vectors, "hierarchical-sum", 2, coding=coding, **values), expected, strict=True
    ):
        assert torch.equal(mean, meant)


def test_one_vector_a_host_crosses_the_network():
    """All-to-all and all-gather of sums between two hosts, whatever the number of ranks on each."""
    sent = {
        ranks: sum(transfer.report.bytes_sent for _, transfer in exchanged(rows(ranks), "hierarchical-sum", 2, bits=4))
        for ranks in (4, 8)
    }
    assert sent[8] < 1.3 * sent[4]


@pytest.mark.parametrize(("name", "hosts"), WAYS)
def test_without_a_scale_the_mean_is_exact(name, hosts):
    vectors = rows(6)
    for mean, _ in exchanged(vectors, name, hosts, scale=None):
        torch.testing.assert_close(mean, vectors.mean(0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "hosts"), WAYS)
@pytest.mark.parametrize("scale", [2.0, None])
def test_inf_is_reported(name, hosts, scale):
    vectors = rows(6)
    vectors[4, 12_345] = torch.inf
    for rank, (mean, transfer) in enumerate(exchanged(vectors, name, hosts, scale=scale)):
        assert not transfer.finite
        assert not mean[12_345].isfinite()
        assert transfer.not_finite == ([12_345] if rank == 4 else [])


@pytest.mark.parametrize("name", ["integer-sum", "integer-allreduce"])
@pytest.mark.parametrize("bits", [4, 8, 32])
def test_hint_takes_the_scale_from_the_largest_coordinate_of_all_ranks(name, bits):
    vectors = rows(3)
    vectors[1, 77] = 37.0
    most = min((1 << bits - 1) - 1, ((1 << 31) - 1) // 3)
    scale = 2.0 ** torch.tensor(most / 37).log2().floor()
    for mean, transfer in exchanged(vectors, name, kind="hint", scale=None, bits=bits, rounding="nearest"):
        compressor = transfer.codec.alone
        assert compressor.scales == (float(scale),)
        assert compressor.counts.clipped == 0
        sums = (vectors * scale).round().double().sum(0)
        torch.testing.assert_close(mean.double(), sums / (scale * 3), rtol=1e-6, atol=0)
        assert len(exchange.make(name, inprocess.InProcess()).slices(transfer.codec)) == 2


def test_hint_of_zeros_and_of_inf():
    for mean, transfer in exchanged(torch.zeros(3, NUMEL), "auto", kind="hint", scale=None):
        assert not mean.any()
        assert transfer.finite
    vectors = rows(3)
    vectors[0, 3] = -torch.inf
    for _, transfer in exchanged(vectors, "auto", kind="hint", scale=None):
        assert not transfer.finite
    with pytest.raises(ConfigurationError, match="use integer-sum"):
        exchange.get("hierarchical-sum").check(compressors.make("hint"))


def test_they_need_integers():
    for name in ("integer-allreduce", "hierarchical-sum"):
        with pytest.raises(ConfigurationError, match="are no integers"):
            exchange.get(name).check(compressors.make("minmax"))
    with pytest.raises(ConfigurationError, match="need no rounds; use allgather or two-phase"):
        exchange.get("rounds").check(compressors.make("minmax"))


class TestSmallTensorsBeside:
    """Tensors that are exempt from compression, beside integers or low-rank matrices."""

    SHAPES = ((40, 30), (30,), (5, 3))

    def trained(self, transport, name, kind, **values):
        parameters = [nn.Parameter(torch.zeros(shape)) for shape in self.SHAPES]
        compression = compressors.Exempt(compressors.make(kind, **values))
        made = torch.optim.SGD(parameters, lr=1.0)
        optimizer = DistributedOptimizer(made, compression=compression, transport=transport, exchange=name)
        for step in range(3):
            random = torch.Generator().manual_seed(10 * step + transport.rank)
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=random)
            optimizer.synchronize()
        return [parameter.grad for parameter in parameters]

    @pytest.mark.parametrize(
        ("name", "kind", "hosts"),
        [
            ("auto", "intsgd", 1),
            ("integer-sum", "intsgd", 1),
            ("integer-allreduce", "hint", 1),
            ("hierarchical-sum", "intsgd", 2),
            ("rounds", "powersgd", 1),
            ("auto", "vote", 1),
        ],
    )
    def test_they_are_added_in_the_order_of_ranks(self, name, kind, hosts):
        everyone = inprocess.run(4, lambda transport: self.trained(transport, name, kind), hosts)
        randoms = [torch.Generator().manual_seed(20 + rank) for rank in range(4)]
        own = [[torch.randn(shape, generator=random) for shape in self.SHAPES] for random in randoms]
        for found in everyone:
            assert torch.equal(found[0], everyone[0][0])
            for place in (1, 2):
                assert torch.equal(found[place], inprocess.sum_in_order([each[place] for each in own]) / 4)
