"""What a script of Horovod's may do with its optimizer, over in-process ranks."""

import copy
import itertools

import pytest
import torch
from torch import nn

import compressors
from hvd_qgenx import DistributedOptimizer, QGenX
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Report
from hvd_qgenx.optim.sparse import mean_of_rows
from hvd_qgenx.transport import inprocess

K = 3
AVERAGE, SUM, ADASUM = 0, 1, 2


def batch(rank: int, step: int, width: int = 8) -> torch.Tensor:
    return torch.randn(4, width, generator=torch.Generator().manual_seed(100 * step + rank))


def network(frozen: bool = False) -> nn.Sequential:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.3, generator=random)
    net[0].requires_grad_(not frozen)
    return net


def flat(net: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def mean_loss(net: nn.Module, step: int) -> torch.Tensor:
    return torch.stack([net(batch(rank, step)).square().mean() for rank in range(K)]).mean()


@pytest.mark.parametrize(("compressor", "settings"), [("none", {}), ("minmax", {"bucket_size": 8})])
def test_ranks_agree_though_one_changes_its_gradients_after_the_exchange_behind_torchs_back(compressor, settings):
    def work(transport):
        net = network()
        exchange = exchanges.make("two-phase", transport, slice_bytes=16)
        optimizer = DistributedOptimizer(
            torch.optim.SGD(net.parameters(), lr=0.05),
            compression=compressors.make(compressor, **settings),
            exchange=exchange,
        )
        for step in range(3):
            optimizer.zero_grad()
            net(batch(transport.rank, step)).square().mean().backward()
            for started in optimizer._pipeline._starts:  # then the means of the first slices have arrived
                started.result()
            for parameter in net.parameters() if transport.rank == 1 else ():
                parameter.grad.data.mul_(0.5)
            optimizer.step()
        return flat(net)

    first, *others = inprocess.run(K, work)
    assert all(torch.equal(first, other) for other in others)


class TestThawing:
    @pytest.mark.parametrize("compressor", ["none", "minmax"])
    def test_thawed_parameters_are_averaged_from_then_on(self, compressor):
        def work(transport):
            net = network(frozen=True)
            compression = compressors.make(compressor, **({"bits": 8} if compressor == "minmax" else {}))
            optimizer = DistributedOptimizer(
                torch.optim.SGD(net.parameters(), lr=0.05), net.named_parameters(), compression, transport=transport
            )
            for step in range(6):
                net[0].requires_grad_(step >= 3)
                optimizer.zero_grad()
                net(batch(transport.rank, step)).square().mean().backward()
                optimizer.step()
            return flat(net)

        alone = network(frozen=True)
        optimizer = torch.optim.SGD(alone.parameters(), lr=0.05)
        for step in range(6):
            alone[0].requires_grad_(step >= 3)
            optimizer.zero_grad()
            mean_loss(alone, step).backward()
            optimizer.step()
        first, *others = inprocess.run(K, work)
        assert all(torch.equal(first, other) for other in others)
        tolerance = 1e-6 if compressor == "none" else 1e-2
        torch.testing.assert_close(first, flat(alone), rtol=tolerance, atol=tolerance)

    def test_a_parameter_group_may_be_added(self):
        def work(transport):
            net = network()
            optimizer = DistributedOptimizer(torch.optim.SGD(net[2].parameters(), lr=0.05), transport=transport)
            for step in range(4):
                if step == 2:
                    optimizer.add_param_group({"params": list(net[0].parameters()), "lr": 0.02})
                optimizer.zero_grad()
                net(batch(transport.rank, step)).square().mean().backward()
                optimizer.step()
            return flat(net)

        alone = network()
        optimizer = torch.optim.SGD(alone[2].parameters(), lr=0.05)
        for step in range(4):
            if step == 2:
                optimizer.add_param_group({"params": list(alone[0].parameters()), "lr": 0.02})
            optimizer.zero_grad()
            mean_loss(alone, step).backward()
            optimizer.step()
        first, *others = inprocess.run(K, work)
        assert all(torch.equal(first, other) for other in others)
        torch.testing.assert_close(first, flat(alone))


def embedding() -> nn.Embedding:
    net = nn.Embedding(12, 5, sparse=True)
    nn.init.normal_(net.weight, generator=torch.Generator().manual_seed(0))
    return net


def embedding_loss(net: nn.Module, rank: int, step: int) -> torch.Tensor:
    """Rank 2 uses no row in one of the steps; ranks use some rows in common, and some twice."""
    rows = torch.tensor([0, 1 + rank, 1 + rank, 5 + step])
    return net(rows if (rank, step) != (2, 1) else rows[:0]).square().sum() / 7


def embed(transport, make, *, steps=4, **options):
    net = embedding()
    optimizer = DistributedOptimizer(make(net.parameters()), net.named_parameters(), transport=transport, **options)
    sent = []
    for step in range(steps):
        optimizer.zero_grad()
        embedding_loss(net, transport.rank, step).backward()
        optimizer.step()
        sent.append(optimizer.report.bytes_sent)
    return net.weight.detach(), [after - before for before, after in itertools.pairwise(sent)]


SPARSE = {
    "SparseAdam": lambda parameters: torch.optim.SparseAdam(list(parameters), lr=0.1),
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    "Adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=0.1),
}


EXACT_ROWS = ("none", "hint", "powersgd", "vote")


class TestSparseGradients:
    @pytest.mark.parametrize("optimizer", SPARSE)
    @pytest.mark.parametrize("as_dense", [False, True])
    def test_it_is_the_optimizer_on_all_batches(self, optimizer, as_dense):
        make = SPARSE[optimizer]
        net = embedding()
        alone = make(net.parameters())
        for step in range(4):
            alone.zero_grad()
            sum(embedding_loss(net, rank, step) for rank in range(K)).div(K).backward()
            alone.step()
        for found, _ in inprocess.run(K, lambda t: embed(t, make, sparse_as_dense=as_dense)):
            torch.testing.assert_close(found, net.weight.detach(), rtol=1e-5, atol=1e-6)

    def test_they_travel_beside_dense_ones(self):
        """Two tables, one with the other's shape, and layers behind them."""

        def build():
            random = torch.Generator().manual_seed(0)
            net = nn.ModuleList([nn.Embedding(12, 5, sparse=True), nn.Embedding(12, 5, sparse=True), nn.Linear(5, 12)])
            for parameter in net.parameters():
                nn.init.normal_(parameter, 0, 0.3, generator=random)
            return net

        def loss(net, rank, step):
            rows = torch.tensor([rank, rank + 1, step])
            return net[2](net[0](rows) * net[1](rows + 2)).square().mean()

        def work(transport):
            net = build()
            optimizer = DistributedOptimizer(
                torch.optim.SGD(net.parameters(), lr=0.1), net.named_parameters(), transport=transport
            )
            for step in range(4):
                optimizer.zero_grad()
                loss(net, transport.rank, step).backward()
                optimizer.step()
            return flat(net), [parameter.grad.is_sparse for parameter in net.parameters()]

        alone = build()
        optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
        for step in range(4):
            optimizer.zero_grad()
            torch.stack([loss(alone, rank, step) for rank in range(K)]).mean().backward()
            optimizer.step()
        for found, sparse in inprocess.run(K, work):
            assert sparse == [True, True, False, False]
            torch.testing.assert_close(found, flat(alone))

    def test_bytes_are_those_of_rows(self):
        """Of each row 8 bytes for its number and 5 floats, after the number of rows and the message's length."""
        for rank, (_, sent) in enumerate(inprocess.run(K, lambda t: embed(t, SPARSE["SGD"]))):
            assert sent == [
                (K - 1) * (8 + 8 + 3 * (8 + 4 * 5)) if (rank, step) != (2, 1) else (K - 1) * 16 for step in (1, 2, 3)
            ]

    @pytest.mark.parametrize("compressor", [name for name in compressors.names() if name not in EXACT_ROWS])
    def test_values_are_compressed(self, compressor):
        everyone = inprocess.run(K, lambda t: embed(t, SPARSE["SGD"], compression=compressors.make(compressor)))
        exact = inprocess.run(K, lambda t: embed(t, SPARSE["SGD"]))
        assert all(torch.equal(found, everyone[0][0]) for found, _ in everyone)
        assert not torch.equal(everyone[0][0], exact[0][0])

    @pytest.mark.parametrize("compressor", EXACT_ROWS)
    def test_what_needs_rounds_leaves_rows_as_they_are(self, compressor):
        parameter = nn.Parameter(torch.zeros(40, 30))

        def work(transport):
            values = torch.randn(6, 30, generator=torch.Generator().manual_seed(transport.rank))
            gradient = torch.sparse_coo_tensor(torch.arange(6)[None] + transport.rank, values, parameter.shape)
            compression = compressors.make(compressor).for_rank(transport.rank, ranks=K)
            mean = mean_of_rows(gradient, parameter, compression, 1.0, transport, "x", Report())
            return mean.to_dense(), gradient.to_dense()

        found = inprocess.run(K, work)
        for mean, _ in found:
            torch.testing.assert_close(mean, torch.stack([own for _, own in found]).mean(0))


class TestStocksArguments:
    def step(self, transport, **options):
        x = nn.Parameter(torch.zeros(2))
        optimizer = DistributedOptimizer(torch.optim.SGD([x], lr=1.0), transport=transport, **options)
        (x.sum() * (transport.rank + 1)).backward()
        optimizer.step()
        return x.detach().tolist()

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, -2.0),
            ({"op": AVERAGE}, -2.0),
            ({"op": SUM}, -6.0),
            ({"gradient_predivide_factor": 2.0}, -2.0),
            ({"num_groups": 2}, -2.0),
            ({"groups": 2}, -2.0),
        ],
    )
    def test_what_is_accepted(self, options, expected):
        assert inprocess.run(K, lambda t: self.step(t, **options)) == [[expected] * 2] * K

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"op": ADASUM}, "Adasum is not supported; use Average or Sum"),
            ({"op": "mean"}, "op must be Horovod's Average or Sum, not 'mean'"),
            ({"op": SUM, "gradient_predivide_factor": 2.0}, "for op=Average alone"),
            ({"num_groups": -1}, "must not be negative"),
            ({"groups": -1}, "must not be negative"),
            ({"groups": [["weight"]]}, "groups must hold tensors"),
            ({"backward_passes_per_step": 0}, "a whole number from 1 on, not 0"),
            ({"backward_passes_per_step": 1.5}, "a whole number from 1 on, not 1.5"),
            ({"named_parameters": [torch.zeros(2)]}, "must be pairs of a name and a parameter"),
            ({"named_parameters": {"x": torch.zeros(2)}}, "must be pairs of a name and a parameter"),
        ],
    )
    def test_what_is_refused(self, options, message):
        with pytest.raises(ConfigurationError, match=message):
            self.step(inprocess.InProcess(), **options)

    def test_two_parameters_of_one_name_are_refused_unless_they_are_of_two_players(self):
        x, y = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        named = [("weight", x), ("weight", y)]
        with pytest.raises(ConfigurationError, match="several are called parameter 'weight'; give prefixes"):
            DistributedOptimizer(torch.optim.SGD([x, y], lr=1.0), named, transport=inprocess.InProcess())
        groups = [{"params": [x], "player": "generator"}, {"params": [y], "player": "discriminator"}]
        DistributedOptimizer(torch.optim.SGD(groups, lr=1.0), named, transport=inprocess.InProcess())

    def test_a_parameter_in_two_groups_is_refused(self):
        x = nn.Parameter(torch.zeros(2))
        with pytest.raises(ConfigurationError, match="in one of the groups only"):
            DistributedOptimizer(torch.optim.SGD([x], lr=1.0), groups=[[x], [x]], transport=inprocess.InProcess())


def test_a_step_that_something_has_replaced_is_refused():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=1.0)
    optimizer.step = lambda: None
    with pytest.raises(ConfigurationError, match="something has replaced the optimizer's step"):
        DistributedOptimizer(optimizer, transport=inprocess.InProcess())


def test_state_made_for_a_broadcast_moves_nothing_where_others_have_state():
    """What Horovod's ``broadcast_optimizer_state`` does after rank 0 alone has loaded a checkpoint."""

    def work(transport, resumed):
        x = nn.Parameter(torch.ones(2))
        optimizer = DistributedOptimizer(
            torch.optim.SGD([x], lr=0.1, momentum=0.9, weight_decay=1.0), transport=transport
        )
        if not (resumed and transport.rank == 0):
            x.grad = torch.zeros(2)
            super(type(optimizer), optimizer).step()
        optimizer.zero_grad()
        optimizer.synchronize()
        return x.detach().tolist()

    assert inprocess.run(K, lambda t: work(t, resumed=True)) == [[1.0] * 2] * K
    assert inprocess.run(K, lambda t: work(t, resumed=False)) == [[pytest.approx(0.9)] * 2] * K


def test_levels_that_only_some_ranks_have_loaded_are_found():
    def work(transport):
        x = nn.Parameter(torch.ones(100))
        optimizer = DistributedOptimizer(
            torch.optim.SGD([x], lr=0.1), None, compressors.make("alq", bits=3), transport=transport
        )
        if transport.rank == 0:
            optimizer.compression.set_levels([0, 0.1, 0.3, 1])
        x.grad = torch.ones(100)
        optimizer.step()

    with pytest.raises(ValueError, match="the payload was made with other levels"):
        inprocess.run(K, work)


def test_layouts_that_differ_between_ranks_are_found():
    def work(transport):
        weight = torch.zeros(4, 3, 2, 2)
        if transport.rank == 2:
            weight = weight.contiguous(memory_format=torch.channels_last)
        DistributedOptimizer(torch.optim.SGD([nn.Parameter(weight)], lr=0.1), transport=transport)

    with pytest.raises(ConfigurationError, match="ranks 0 and 2 were given parameters of different memory layouts"):
        inprocess.run(K, work)


def test_one_checkpoint_serves_all_ranks(logged):
    """Ranks keep their random streams, and do not take rank 0's own last gradient for theirs."""

    def work(transport):
        def make():
            x = nn.Parameter(torch.zeros(64))
            return x, DistributedOptimizer(
                QGenX([x], "optda"), None, compressors.make("minmax", bits=2), transport=transport
            )

        x, optimizer = make()
        x.grad = torch.arange(64.0) + transport.rank
        optimizer.step()
        saved = copy.deepcopy(transport.broadcast_object(optimizer.state_dict(), "saved"))
        x, optimizer = make()
        if transport.rank:
            optimizer.load_state_dict(saved)
            assert f"rank {transport.rank} loads state that rank 0 has saved" in logged.text
        else:
            optimizer.load_state_dict(saved)
        stream = optimizer.compression.stream
        x.grad = torch.arange(64.0)
        optimizer.step()
        return stream.rank, x.detach()

    everyone = inprocess.run(K, work)
    assert [rank for rank, _ in everyone] == list(range(K))
    assert all(torch.equal(x, everyone[0][1]) for _, x in everyone)
