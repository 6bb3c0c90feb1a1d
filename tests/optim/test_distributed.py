"""The distributed optimizer over in-process ranks."""

import copy
import threading
import warnings
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import compressors
from hvd_qgenx import DistributedOptimizer, ExtraAdam, ExtraSGD, OptimisticAdam, PastExtraAdam, exchange
from hvd_qgenx.errors import ConfigurationError, NonFiniteGradientError, TrainingError
from hvd_qgenx.optim.moves import Moving
from hvd_qgenx.transport import inprocess

K = 3


def model() -> nn.Module:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 1))
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.3, generator=random)
    return net


def batch(rank: int, step: int) -> torch.Tensor:
    return torch.randn(8, 20, generator=torch.Generator().manual_seed(100 * step + rank))


def loss(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return (net(inputs).squeeze(1) - inputs.sum(1)).square().mean()


def flat(net: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
    "extra-sgd": lambda p: ExtraSGD(p, lr=0.05),
    "extra-adam": lambda p: ExtraAdam(p, lr=0.01),
    "past-extra-adam": lambda p: PastExtraAdam(p, lr=0.01),
    "optimistic-adam": lambda p: OptimisticAdam(p, lr=0.01),
}


def train(transport, make, compression=None, steps=6, wrap=True):
    """Parameters after a few steps; without ``wrap`` on all ranks' batches in one process."""
    net = model()
    optimizer = make(net.parameters())
    if wrap:
        optimizer = DistributedOptimizer(optimizer, net.named_parameters(), compression, transport=transport)
    step = 0
    for _ in range(steps):
        for advance in optimizer.moves() if wrap or isinstance(optimizer, Moving) else (optimizer.step,):
            optimizer.zero_grad(set_to_none=step % 2 == 0)
            if wrap:
                loss(net, batch(transport.rank, step)).backward()
            else:
                torch.stack([loss(net, batch(rank, step)) for rank in range(K)]).mean().backward()
            advance()
            step += 1
    return flat(net)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_optimizer_on_all_batches(name):
    distributed = inprocess.run(K, lambda t: train(t, OPTIMIZERS[name]))
    alone = train(None, OPTIMIZERS[name], wrap=False)
    for parameters in distributed:
        assert torch.equal(parameters, distributed[0])
        torch.testing.assert_close(parameters, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("compressor", compressors.names())
def test_replicas_agree_under_compression(compressor):
    leaf = compressors.make(compressor)
    distributed = inprocess.run(K, lambda t: train(t, OPTIMIZERS["extra-adam"], compressors.Exempt(leaf)))
    assert all(torch.equal(parameters, distributed[0]) for parameters in distributed)
    exact = inprocess.run(K, lambda t: train(t, OPTIMIZERS["extra-adam"]))[0]
    assert torch.equal(distributed[0], exact) == (compressor == "none")


def test_world_size_one_still_runs_the_codec():
    solo = inprocess.InProcess()
    compressed = train(solo, OPTIMIZERS["sgd"], compressors.make("minmax", bits=2))
    assert not torch.equal(compressed, train(solo, OPTIMIZERS["sgd"]))


def test_it_is_an_instance_of_the_class_it_wraps_and_keeps_its_state():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    loss(net, batch(0, 0)).backward()
    optimizer.step()
    momentum = {p: s["momentum_buffer"].clone() for p, s in optimizer.state.items()}
    wrapped = DistributedOptimizer(optimizer, net.named_parameters(), transport=inprocess.InProcess())
    assert isinstance(wrapped, torch.optim.SGD)
    assert all(torch.equal(wrapped.state[p]["momentum_buffer"], buffer) for p, buffer in momentum.items())
    assert wrapped.param_groups[0]["lr"] == 0.05


def test_learning_rate_schedulers_work():
    net = model()
    wrapped = DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=1.0), transport=inprocess.InProcess())
    scheduler = torch.optim.lr_scheduler.StepLR(wrapped, step_size=1, gamma=0.1)
    loss(net, batch(0, 0)).backward()
    wrapped.step()
    scheduler.step()
    assert wrapped.param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_scheduler_made_before_goes_on(loaded):
    """It shares the parameter groups, also after a checkpoint has been loaded, and sees that steps are taken."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.1)
    wrapped = DistributedOptimizer(optimizer, transport=inprocess.InProcess())
    if loaded:
        wrapped.load_state_dict(wrapped.state_dict())
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(3):
            rates.append(wrapped.param_groups[0]["lr"])
            wrapped.zero_grad()
            loss(net, batch(0, step)).backward()
            before = flat(net)
            wrapped.step()
            gradient = torch.cat([parameter.grad.flatten() for parameter in net.parameters()])
            torch.testing.assert_close(flat(net), before - rates[-1] * gradient)
            scheduler.step()
    assert rates == pytest.approx([1.0, 0.1, 0.01])


def test_gradients_may_be_filled_in_and_missing_ones_count_as_zeros():
    def work(transport):
        x, y = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
        optimizer = DistributedOptimizer(torch.optim.SGD([x, y], lr=1.0), transport=transport)
        x.grad = torch.full((2,), 3.0 * transport.rank)
        if transport.rank == 0:
            y.grad = torch.full((2,), 3.0)
        optimizer.step()
        return x.detach().tolist(), y.detach().tolist()

    assert inprocess.run(K, work) == [([-3.0, -3.0], [-1.0, -1.0])] * K


def test_frozen_parameters_do_not_travel():
    net = model()
    net[0].requires_grad_(False)
    optimizer = DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.1), transport=inprocess.InProcess())
    loss(net, batch(0, 0)).backward()
    before = net[0].weight.clone()
    optimizer.step()
    assert torch.equal(net[0].weight, before)
    assert net[0].weight.grad is None


def test_accumulated_passes_are_added_up_as_in_horovod():
    def work(transport):
        net = model()
        optimizer = DistributedOptimizer(
            torch.optim.SGD(net.parameters(), lr=0.1), backward_passes_per_step=3, transport=transport
        )
        optimizer.set_backward_passes_per_step(2)
        for step in (0, 1):
            loss(net, batch(transport.rank, step)).backward()
        optimizer.step()
        return flat(net)

    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.stack([loss(net, batch(rank, step)) for rank in range(K) for step in (0, 1)]).sum().div(K).backward()
    optimizer.step()
    for parameters in inprocess.run(K, work):
        torch.testing.assert_close(parameters, flat(net))


def test_one_pass_too_many_is_an_error():
    net = model()
    optimizer = DistributedOptimizer(
        torch.optim.SGD(net.parameters(), lr=0.1), net.named_parameters(), transport=inprocess.InProcess()
    )
    loss(net, batch(0, 0)).backward()
    with pytest.raises(RuntimeError, match=r"gradient of parameter '2.*' was computed 2 times before an exchange"):
        loss(net, batch(0, 1)).backward()

    optimizer = DistributedOptimizer(optimizer._base(net.parameters(), lr=0.1), transport=inprocess.InProcess())
    loss(net, batch(0, 2)).backward()  # the one before is gone, and its count with it
    optimizer.step()


def test_zero_grad_forgets_the_passes_it_drops():
    net = model()
    optimizer = DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.1), transport=inprocess.InProcess())
    for step in range(3):
        optimizer.zero_grad()
        loss(net, batch(0, step)).backward()


def test_exchanges_are_counted():
    net = model()
    optimizer = DistributedOptimizer(ExtraSGD(net.parameters(), lr=0.1), transport=inprocess.InProcess())
    optimizer.synchronize()
    with optimizer.skip_synchronize():
        optimizer.extrapolation()
    assert optimizer.exchange_count == 1
    optimizer.step()
    assert optimizer.exchange_count == 2


def test_clipping_between_exchange_and_step():
    def work(transport):
        x = torch.zeros(2, requires_grad=True)
        optimizer = DistributedOptimizer(torch.optim.SGD([x], lr=1.0), transport=transport)
        x.grad = torch.tensor([3.0 * transport.rank, 0.0])
        optimizer.synchronize()
        torch.nn.utils.clip_grad_norm_([x], 1.0)
        with optimizer.skip_synchronize():
            optimizer.step()
        return x.detach()

    for x in inprocess.run(K, work):
        torch.testing.assert_close(x, torch.tensor([-1.0, 0.0]))


def test_a_second_exchange_is_warned_of(logged):
    x = torch.zeros(2, requires_grad=True)
    optimizer = DistributedOptimizer(torch.optim.SGD([x], lr=1.0), transport=inprocess.InProcess())
    optimizer.synchronize()
    optimizer.step()
    assert "a second time" in logged.text


@pytest.mark.parametrize(
    ("name", "feedback", "doubted"),
    [
        ("topk", "none", True),
        ("sign", "none", True),
        ("powersgd", "none", True),
        ("topk", "error", False),
        ("minmax", "none", False),
        ("fp16", "none", False),
        ("vote", "none", False),
    ],
)
def test_biased_compressors_without_feedback_get_a_warning(name, feedback, doubted, logged):
    parameter = nn.Parameter(torch.zeros(64, 64))
    DistributedOptimizer(
        torch.optim.SGD([parameter], lr=0.1),
        compression=compressors.make(name),
        transport=inprocess.InProcess(),
        feedback=feedback,
    )
    assert (f"{name} is biased" in logged.text) is doubted


def test_what_cannot_be_averaged_is_refused():
    solo = inprocess.InProcess()
    x = torch.zeros(2, requires_grad=True)
    optimizer = DistributedOptimizer(torch.optim.SGD([x], lr=1.0), transport=solo)
    with pytest.raises(ValueError, match="takes no closure"):
        optimizer.step(lambda: 0.0)
    with pytest.raises(TypeError, match="SGD has no extrapolation"):
        optimizer.extrapolation()
    with pytest.raises(ConfigurationError, match="distributed already"):
        DistributedOptimizer(optimizer, transport=solo)
    with pytest.raises(ConfigurationError, match="compression must be a compressor"):
        DistributedOptimizer(torch.optim.SGD([x], lr=1.0), compression="minmax", transport=solo)
    with pytest.raises(ConfigurationError, match="leaves out parameter 0 of group 0"):
        DistributedOptimizer(torch.optim.SGD([x], lr=1.0), [("y", torch.zeros(1))], transport=solo)


def test_ranks_with_different_layouts_are_found():
    def work(transport):
        x = torch.zeros(2 + transport.rank // 2, requires_grad=True)
        DistributedOptimizer(torch.optim.SGD([x], lr=1.0), transport=transport)

    with pytest.raises(ConfigurationError, match="ranks 0 and 2 were given different parameters"):
        inprocess.run(K, work)

    def other(transport):
        compression = compressors.make("minmax", bits=4 if transport.rank else 8)
        DistributedOptimizer(
            torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=1.0), None, compression, transport=transport
        )

    with pytest.raises(ConfigurationError, match="ranks 0 and 1 were given different compression"):
        inprocess.run(K, other)


def test_kernels_that_do_not_agree_are_found():
    """One rank rounds down where the others round to the nearest."""

    def work(transport):
        compression = Broken() if transport.rank == 2 else compressors.MinMax()
        DistributedOptimizer(torch.optim.SGD(model().parameters(), lr=1.0), None, compression, transport=transport)

    @dataclass(eq=False, repr=False)
    class Broken(compressors.MinMax):
        __repr__ = compressors.MinMax.__repr__

        def read(self, payload, vector, add=False, start=0):
            super().read(payload, vector, add)
            vector[-1] = torch.nextafter(vector[-1], torch.tensor(-torch.inf))

        def for_rank(self, rank, seed=None, ranks=1):
            return self

    Broken.__qualname__ = "MinMax"
    with pytest.raises(ConfigurationError, match="ranks 0 and 2 were found to compress the same numbers to different"):
        inprocess.run(K, work)


def test_slices_that_differ_between_ranks_are_found():
    def work(transport):
        how = exchange.make("two-phase", transport, 100 if transport.rank == 1 else 1 << 20)
        DistributedOptimizer(
            torch.optim.SGD(wide().parameters(), lr=1.0), None, compressors.MinMax(bucket_size=64), exchange=how
        )

    with pytest.raises(ConfigurationError, match="ranks 0 and 1 were given different exchanges"):
        inprocess.run(K, work)


@pytest.mark.parametrize("compressor", compressors.names())
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_bad_gradient_is_named_on_every_rank(compressor, bad):
    def work(transport):
        net = model()
        groups = [
            {"params": list(net[0].parameters()), "player": "generator"},
            {"params": list(net[2].parameters()), "player": "discriminator"},
        ]
        optimizer = DistributedOptimizer(
            ExtraSGD(groups, lr=0.1), net.named_parameters(), compressors.make(compressor), transport=transport
        )
        optimizer.overlap = False
        loss(net, batch(transport.rank, 0)).backward()
        if transport.rank == 1:
            net[2].weight.grad[0, 3] = bad
        before = flat(net)
        with pytest.raises(NonFiniteGradientError) as raised:
            optimizer.extrapolation()
        assert torch.equal(flat(net), before)
        return str(raised.value)

    expected = "Inf or NaN in a gradient on rank 1: discriminator parameter '2.weight'"
    assert inprocess.run(K, work) == [expected] * K


def test_overflow_in_the_compressor_is_named():
    def work(transport):
        x = torch.zeros(2, requires_grad=True)
        optimizer = DistributedOptimizer(
            torch.optim.SGD([x], lr=1.0), None, compressors.make("fp16"), transport=transport
        )
        x.grad = torch.full((2,), 1e6)
        optimizer.step()

    with pytest.raises(TrainingError, match="too large for compressor Half"):
        inprocess.run(K, work)


def test_resumed_from_state_dict_it_goes_on_bit_for_bit():
    """At every move, also between the two of extra-gradient, with a stochastic compressor."""

    def run(transport, resume_at):
        net = model()

        def make(net):
            return DistributedOptimizer(
                ExtraAdam(net.parameters(), lr=0.01),
                net.named_parameters(),
                compressors.make("minmax"),
                transport=transport,
            )

        optimizer = make(net)
        for step in range(6):
            if step == resume_at:
                state, net = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(net)
                optimizer = make(net)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            loss(net, batch(transport.rank, step)).backward()
            optimizer.step() if step % 2 else optimizer.extrapolation()
        return flat(net)

    uninterrupted = inprocess.run(K, lambda t: run(t, None))
    for resume_at in range(6):
        assert all(
            torch.equal(one, two)
            for one, two in zip(uninterrupted, inprocess.run(K, lambda t, at=resume_at: run(t, at)), strict=True)
        )


def test_only_the_compressors_state_is_local():
    def work(transport):
        net = model()
        optimizer = DistributedOptimizer(
            torch.optim.Adam(net.parameters()), None, compressors.make("minmax"), transport=transport
        )
        loss(net, batch(transport.rank, 0)).backward()
        optimizer.step()
        state = optimizer.state_dict()
        moments = [values["exp_avg"].tolist() for values in state["state"].values()]
        return set(state), state["local"]["compression"]["stream"]["rank"], moments

    everyone = inprocess.run(K, work)
    assert [one[:2] for one in everyone] == [({"state", "param_groups", "local"}, rank) for rank in range(K)]
    assert all(one[2] == everyone[0][2] for one in everyone)


def test_state_of_the_plain_optimizer_loads():
    net = model()
    optimizer = torch.optim.Adam(net.parameters())
    loss(net, batch(0, 0)).backward()
    optimizer.step()
    wrapped = DistributedOptimizer(torch.optim.Adam(net.parameters()), transport=inprocess.InProcess())
    wrapped.load_state_dict(optimizer.state_dict())
    assert wrapped.state[net[0].weight]["step"] == 1


def test_two_dtypes_travel_apart():
    def work(transport):
        x = torch.zeros(4, requires_grad=True)
        y = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        optimizer = DistributedOptimizer(torch.optim.SGD([x, y], lr=1.0), transport=transport)
        x.grad, y.grad = torch.full((4,), 1.0), torch.full((4,), 1 + 2.0**-40, dtype=torch.float64)
        optimizer.step()
        return float(x.detach()[0]), float(y.detach()[0])

    assert inprocess.run(2, work) == [(-1.0, -1 - 2.0**-40)] * 2


class TestOverlap:
    """Gradients are exchanged while backward computes them."""

    def make(self, transport, net, slice_bytes=600, **options):
        """Slices so small that the net's gradients make several."""
        how = exchange.make("two-phase", transport, slice_bytes)
        compressor = compressors.make("minmax", bucket_size=64)
        optimizer = DistributedOptimizer(
            torch.optim.SGD(net.parameters(), lr=0.1), net.named_parameters(), compressor, exchange=how, **options
        )
        assert len(how.slices(optimizer._gradients.buffers[0].codec)) > 2
        return optimizer

    @pytest.mark.parametrize("passes", [1, 2])
    def test_it_changes_no_bit(self, passes):
        def work(transport, overlap):
            net = wide()
            optimizer = self.make(transport, net, backward_passes_per_step=passes)
            optimizer.overlap = overlap
            for step in range(3):
                optimizer.zero_grad()
                for part in range(passes):
                    loss(net, batch(transport.rank, passes * step + part)).backward()
                optimizer.step()
            return flat(net)

        results = [one for overlap in (True, False) for one in inprocess.run(K, lambda t, o=overlap: work(t, o))]
        assert all(torch.equal(results[0], other) for other in results)

    def test_the_first_slice_leaves_before_backward_ends(self):
        """The last layer's gradient is under way when the first layer's is computed."""

        def work(transport):
            net, started = wide(), threading.Event()
            optimizer = self.make(transport, net)
            reduce = optimizer.exchange.reduce

            def watched(*arguments):
                started.set()
                yield from reduce(*arguments)

            optimizer.exchange.reduce = watched
            net[0].weight.register_hook(lambda gradient: seen.append(started.wait(60)))
            seen = []
            loss(net, batch(transport.rank, 0)).backward()
            optimizer.step()
            return seen

        assert inprocess.run(K, work) == [[True]] * K

    def test_order_is_that_of_slices_whatever_order_gradients_come_in(self):
        """Rank 0 computes the players' gradients the other way round."""

        def work(transport):
            nets = wide(), wide()
            groups = [{"params": list(net.parameters())} for net in nets]
            how, names = exchange.make("two-phase", transport, 600), []
            optimizer = DistributedOptimizer(
                torch.optim.SGD(groups, lr=0.1), None, compressors.make("minmax", bucket_size=64), exchange=how
            )
            reduce = how.reduce

            def recorded(transfer, start, stop, name):
                names.append(name)
                return reduce(transfer, start, stop, name)

            how.reduce = recorded
            for net in nets if transport.rank else nets[::-1]:
                loss(net, batch(transport.rank, 0)).backward()
            optimizer.step()
            return names, [flat(net) for net in nets]

        (names, first), *others = inprocess.run(K, work)
        assert len(set(names)) == len(names) > 4
        for theirs, nets in others:
            assert theirs == names
            assert all(torch.equal(one, two) for one, two in zip(first, nets, strict=True))

    @pytest.mark.parametrize("change", ["in place", "replaced"])
    def test_gradients_changed_on_their_way_are_an_error(self, change):
        net = wide()
        optimizer = self.make(inprocess.InProcess(), net)
        loss(net, batch(0, 0)).backward()
        if change == "in place":
            net[0].weight.grad.mul_(0.5)
        else:
            net[0].weight.grad = torch.ones_like(net[0].weight)
        with pytest.raises(RuntimeError, match="changed after backward, when their exchange had begun"):
            optimizer.step()

    def test_what_backward_leaves_out_counts_as_zeros(self):
        def work(transport):
            net, unused = wide(), torch.ones(5, requires_grad=True)
            optimizer = DistributedOptimizer(torch.optim.SGD([*net.parameters(), unused], lr=1.0), transport=transport)
            loss(net, batch(transport.rank, 0)).backward()
            optimizer.step()
            return unused.grad.tolist()

        assert inprocess.run(2, work) == [[0.0] * 5] * 2

    def test_a_buffer_that_backward_leaves_out_has_not_changed(self):
        """Zeroed since an earlier backward pass, it takes no part in this one."""
        x, y = torch.ones(3, requires_grad=True), torch.ones(3, dtype=torch.float64, requires_grad=True)
        optimizer = DistributedOptimizer(torch.optim.SGD([x, y], lr=1.0), transport=inprocess.InProcess())
        (x.sum() + y.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
        x.sum().backward()
        optimizer.step()
        assert (x.tolist(), y.tolist()) == ([-1.0] * 3, [0.0] * 3)

    def test_zero_grad_ends_what_was_begun(self):
        def work(transport):
            net = wide()
            optimizer = self.make(transport, net)
            for step in range(3):
                optimizer.zero_grad()
                loss(net, batch(transport.rank, step)).backward()
            optimizer.step()
            return flat(net)

        first, *others = inprocess.run(K, work)
        assert all(torch.equal(first, other) for other in others)

    def test_a_failure_on_the_way_is_raised_once_and_here(self):
        net = wide()
        optimizer = self.make(inprocess.InProcess(), net)
        optimizer.compression.batch = lambda *arguments: 1 // 0
        loss(net, batch(0, 0)).backward()
        with pytest.raises(ZeroDivisionError):
            optimizer.step()

    def test_level_updates_come_before_the_exchange(self):
        net = wide()
        optimizer = DistributedOptimizer(
            torch.optim.SGD(net.parameters(), lr=0.1), None, compressors.make("alq"), transport=inprocess.InProcess()
        )
        loss(net, batch(0, 0)).backward()
        optimizer.update_levels_next = True
        with pytest.raises(RuntimeError, match="must be set before backward"):
            optimizer.step()


def test_gradients_are_views_into_one_buffer():
    net = model()
    optimizer = DistributedOptimizer(torch.optim.SGD(net.parameters(), lr=0.1), transport=inprocess.InProcess())
    loss(net, batch(0, 0)).backward()
    assert optimizer.exchange_count == 0
    assert len({parameter.grad.untyped_storage().data_ptr() for parameter in net.parameters()}) == 1


def test_exempt_parameters_share_the_collectives():
    """Weights are compressed, biases exact, and there is one vector for both."""

    def work(transport):
        net, names = wide(), []
        scatter, all_reduce = transport.all_to_all, transport.all_reduce_mean
        transport.all_to_all = lambda *arguments: names.append("all-to-all") or scatter(*arguments)
        transport.all_reduce_mean = lambda *arguments: names.append("all-reduce") or all_reduce(*arguments)
        optimizer = DistributedOptimizer(
            torch.optim.SGD(net.parameters(), lr=1.0),
            None,
            compressors.Exempt(compressors.make("minmax", bits=2)),
            transport=transport,
        )
        loss(net, batch(transport.rank, 0)).backward()
        optimizer.step()
        return names, net[0].bias.grad

    exact = wide()
    torch.stack([loss(exact, batch(rank, 0)) for rank in range(K)]).mean().backward()
    for names, bias in inprocess.run(K, work):
        assert names == ["all-to-all"]
        torch.testing.assert_close(bias, exact[0].bias.grad)


def wide() -> nn.Module:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.2, generator=random)
    return net
