"""The default exchange's choice, made once for a buffer."""

import pytest
import torch

import compressors
from hvd_qgenx import DistributedOptimizer, QGenX, exchange
from hvd_qgenx.exchange import AllGather, AllReduce, Auto, Codec, Hierarchical, TwoPhase
from hvd_qgenx.transport import inprocess


def chosen(transport, compressor, keep_own=False):
    codec = Codec([(compressors.make(compressor), 10)], torch.float32)
    return type(Auto(transport).resolve(codec, keep_own))


@pytest.mark.parametrize("keep_own", [False, True])
@pytest.mark.parametrize(
    ("compressor", "ranks", "expected"),
    [
        ("none", 1, AllReduce),
        ("none", 3, AllReduce),
        ("fp16", 3, AllReduce),
        ("minmax", 1, AllGather),
        ("minmax", 2, AllGather),
        ("minmax", 3, TwoPhase),
        ("minmax", 5, TwoPhase),
    ],
)
def test_on_one_host(compressor, ranks, expected, keep_own):
    assert inprocess.run(ranks, lambda t: chosen(t, compressor, keep_own)) == [expected] * ranks


@pytest.mark.parametrize(
    ("compressor", "keep_own", "ranks", "hosts", "expected"),
    [
        ("minmax", False, 8, 2, Hierarchical),
        ("minmax", True, 8, 2, TwoPhase),
        ("none", False, 8, 2, AllReduce),
        ("none", True, 8, 2, AllReduce),
        ("minmax", False, 4, 2, TwoPhase),  # too few ranks on each host
        ("minmax", False, 7, 2, TwoPhase),  # hosts differ
        ("minmax", False, 8, 1, TwoPhase),
        ("minmax", False, 2, 2, AllGather),
    ],
)
def test_on_several_hosts(compressor, keep_own, ranks, hosts, expected):
    assert inprocess.run(ranks, lambda t: chosen(t, compressor, keep_own), hosts) == [expected] * ranks


def test_a_vector_of_several_compressors_is_not_added():
    codec = Codec([(compressors.make("minmax"), 5), (compressors.make("none"), 5)], torch.float32)
    assert inprocess.run(3, lambda t: type(Auto(t).resolve(codec))) == [TwoPhase] * 3


def test_other_exchanges_are_what_they_are():
    codec = Codec([(compressors.make("none"), 5)], torch.float32)
    for name in ("allreduce", "allgather", "two-phase"):
        found = exchange.make(name, inprocess.InProcess())
        assert found.resolve(codec) is found
        assert found.resolve(codec, keep_own=True) is found


@pytest.mark.parametrize(("make", "keep_own"), [(torch.optim.SGD, False), (QGenX, True)])
def test_an_optimizer_asks_once_for_every_buffer(make, keep_own):
    """Weights and biases share a buffer; float64 has another."""
    asked = []

    class Watched(Auto):
        def resolve(self, codec, keep_own=False, once=False):
            asked.append((codec.dtype, keep_own))
            return super().resolve(codec, keep_own, once)

    weight, bias = torch.ones(20, 30, requires_grad=True), torch.ones(30, requires_grad=True)
    double = torch.ones(3, dtype=torch.float64, requires_grad=True)
    compression = compressors.Exempt(compressors.make("minmax"))
    optimizer = DistributedOptimizer(
        make([weight, bias, double], lr=0.1), None, compression, exchange=Watched(inprocess.InProcess())
    )
    for _ in range(3):
        optimizer.synchronize()
    assert sorted(asked, key=str) == [(torch.float32, keep_own), (torch.float64, keep_own)]


def test_the_mean_of_a_vector_is_by_what_is_chosen():
    """Four ranks on two hosts add what can be added, and average what cannot in two phases."""

    def work(transport):
        vector = torch.full((6,), float(transport.rank))
        return [Auto(transport).mean(vector, compressors.make(name), name).tolist() for name in ("none", "dither")]

    for means in inprocess.run(4, work, hosts=2):
        assert means[0] == [1.5] * 6
        assert means[1] == pytest.approx([1.5] * 6, abs=0.5)
