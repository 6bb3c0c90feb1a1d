"""Scales of integers that follow mean gradients or updates."""

import math

import pytest
import torch
from torch import nn

import compressors
from hvd_qgenx import DistributedOptimizer, ExtraSGD, QGenX
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import inprocess

K, LR = 3, 0.05


def network() -> nn.Sequential:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 1))
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.2, generator=random)
    return net


def optimizer_of(net, transport, compression=None, base=torch.optim.SGD, **values):
    compression = compression or compressors.make("intsgd", **{"bits": 4, **values})
    return DistributedOptimizer(base(net.parameters(), lr=LR), net.named_parameters(), compression, transport=transport)


def train(net, optimizer, rank: int, steps, size: float = 1.0) -> None:
    for step in steps:
        inputs = torch.randn(8, 16, generator=torch.Generator().manual_seed(100 * step + rank))
        optimizer.zero_grad()
        (size * (net(inputs) - inputs[:, :1]).square().mean()).backward()
        optimizer.step()


def flat(net) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("source", ["gradient", "update"])
@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_the_scale_is_that_of_the_paper(source, beta):
    """alpha = eta sqrt(d) / sqrt(2 n r), r = beta r + (1 - beta) |x_k - x_(k-1)|^2; the first update is exact."""

    def work(transport):
        net = network()
        optimizer = optimizer_of(net, transport, scale_from=source, beta=beta, bits=16)
        squares, followed = [], []
        for step in range(5):
            before = flat(net).double()
            train(net, optimizer, transport.rank, [step])
            squares.append(float((flat(net).double() - before).square().sum()))
            optimizer._gradients.scales.before_exchange()
            followed.append(optimizer.compression.scales[0])
        return squares, followed

    for squares, followed in inprocess.run(K, work):
        mean, expected = squares[0], []
        for square in squares:
            mean = beta * mean + (1 - beta) * square
            expected.append(LR * math.sqrt(1153 / (2 * K * mean)))
        assert followed == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "values",
    [
        *({}, {"bits": 2}, {"bits": 32}, {"rounding": "nearest"}, {"scale_per": "tensor"}, {"first_scale": 100.0}),
        *({"scale_from": "update"}, {"scale_from": "update", "scale_per": "tensor"}),
        {"scale_from": "constant", "alpha": 99.0},
    ],
    ids=str,
)
def test_ranks_agree_and_the_loss_falls(values):
    def work(transport):
        net = network()
        optimizer = optimizer_of(net, transport, **values)
        train(net, optimizer, transport.rank, range(80))
        inputs = torch.randn(500, 16, generator=torch.Generator().manual_seed(5))
        return flat(net), float((net(inputs) - inputs[:, :1]).square().mean().detach()), optimizer.compression

    (parameters, loss, compressor), *others = inprocess.run(K, work)
    assert all(torch.equal(parameters, theirs) for theirs, _, _ in others)
    assert all(compressor.scales == theirs.scales for _, _, theirs in others)
    assert loss < 0.5
    exact = 0 if compressor.first_scale or compressor.scale_from == "constant" else 1
    assert compressor.counts.coordinates == (80 - exact) * 1153


def test_an_entropy_code_changes_no_bit():
    def work(transport, code):
        net, compression = network(), compressors.make("intsgd", bits=4)
        if code:
            compression = compressors.with_coding(compression, code)
        optimizer = optimizer_of(net, transport, compression)
        train(net, optimizer, transport.rank, range(6))
        return flat(net), optimizer.report.bytes_sent

    plain, coded = (inprocess.run(K, lambda transport, c=code: work(transport, c)) for code in (None, "huffman"))
    assert all(torch.equal(plain[0][0], parameters) for parameters, _ in coded)
    assert plain[0][1] != coded[0][1]


@pytest.mark.parametrize(
    "values", [{}, {"scale_from": "update"}, {"scale_per": "tensor", "rounding": "nearest"}], ids=str
)
def test_it_goes_on_bit_for_bit(values):
    def work(transport):
        net, again = network(), network()
        optimizer, resumed = (optimizer_of(each, transport, **values) for each in (net, again))
        train(net, optimizer, transport.rank, range(4))
        again.load_state_dict(net.state_dict())
        resumed.load_state_dict(optimizer.state_dict())
        for each, made in ((net, optimizer), (again, resumed)):
            train(each, made, transport.rank, range(4, 8))
        return flat(net), flat(again), optimizer.compression.scales == resumed.compression.scales

    for expected, found, same in inprocess.run(K, work):
        assert torch.equal(expected, found)
        assert same


@pytest.mark.parametrize("source", ["gradient", "update"])
def test_gradients_of_zero_are_followed_by_an_exact_step(source):
    def work(transport):
        net = network()
        optimizer = optimizer_of(net, transport, scale_from=source, beta=0.0, bits=2)
        train(net, optimizer, transport.rank, range(2))
        before = flat(net)
        train(net, optimizer, transport.rank, [2], size=0.0)
        after = flat(net)
        train(net, optimizer, transport.rank, [3])
        return before, after, flat(net), optimizer.compression.counts.coordinates

    before, after, last, coordinates = inprocess.run(K, work)[0]
    assert torch.equal(before, after)
    assert coordinates == 2 * 1153
    alone = network()
    nn.utils.vector_to_parameters(after, alone.parameters())
    optimizer = torch.optim.SGD(alone.parameters(), lr=LR)
    inputs = [torch.randn(8, 16, generator=torch.Generator().manual_seed(300 + rank)) for rank in range(K)]
    torch.stack([(alone(each) - each[:, :1]).square().mean() for each in inputs]).mean().backward()
    optimizer.step()
    torch.testing.assert_close(flat(alone), last, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("source", ["gradient", "update"])
def test_parameters_that_are_thawed_get_scales_of_their_own(source):
    def work(transport):
        net = network()
        net[0].requires_grad_(False)
        optimizer = optimizer_of(net, transport, scale_per="tensor", scale_from=source)
        train(net, optimizer, transport.rank, range(2))
        before = len(optimizer.compression.scales)
        net[0].requires_grad_(True)
        train(net, optimizer, transport.rank, range(2, 6))
        return before, len(optimizer.compression.scales), flat(net)

    results = inprocess.run(K, work)
    assert all((before, after) == (2, 4) for before, after, _ in results)
    assert all(torch.equal(parameters, results[0][2]) for _, _, parameters in results)


class TestBadInput:
    @pytest.mark.parametrize(("base", "fault"), [(ExtraSGD, "extrapolates"), (QGenX, "extrapolates|no step size")])
    def test_updates_that_are_no_gradients(self, base, fault):
        def work(transport):
            net = network()
            made = base(net.parameters(), lr=LR) if base is ExtraSGD else base(net.parameters())
            with pytest.raises(ConfigurationError, match=f"cannot follow updates, the optimizer ({fault})"):
                DistributedOptimizer(
                    made, compression=compressors.make("intsgd", scale_from="update"), transport=transport
                )

        inprocess.run(2, work)

    def test_several_step_sizes(self):
        def work(transport):
            net = network()
            groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters(), "lr": 0.2}]
            compression = compressors.make("intsgd", scale_from="update")
            optimizer = DistributedOptimizer(torch.optim.SGD(groups), compression=compression, transport=transport)
            with pytest.raises(ConfigurationError, match="different step sizes; use scale_per=tensor or"):
                train(net, optimizer, transport.rank, range(2))

        inprocess.run(1, work)

    def test_several_dtypes(self):
        def work(transport):
            net = network()
            net[0].double()
            with pytest.raises(ConfigurationError, match="gradients of one dtype and device"):
                optimizer_of(net, transport)

        inprocess.run(1, work)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"bits": 9}, "bits must be one of 2, 3, 4, 5, 6, 7, 8, 16, 32, not 9"),
            ({"beta": 1.0}, "beta must be from 0.0 to 0.999"),
            ({"scale_per": "block"}, "scale_per must be one of vector, tensor"),
        ],
    )
    def test_parameters(self, values, message):
        with pytest.raises(ValueError, match=message):
            compressors.make("intsgd", **values)
