"""Error feedback and shifts: recursions by hand, on threads as ranks."""

import pytest
import torch
from torch import nn

import compressors
from hvd_qgenx import DistributedOptimizer, ExtraSGD
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.feedback import NAMES
from hvd_qgenx.training.config import FEEDBACKS
from hvd_qgenx.training.resize import resized
from hvd_qgenx.transport import inprocess

K, NUMEL = 3, 3000
BIASED = ("intsgd", {"bits": 2, "rounding": "nearest", "scale_from": "constant", "alpha": 0.5})
UNBIASED = ("intsgd", {"bits": 16, "scale_from": "constant", "alpha": 4.0})
COMPRESSORS = [BIASED, UNBIASED, ("minmax", {"bits": 2, "bucket_size": 128}), ("rotated", {"bits": 1})]


def gradients(step: int) -> torch.Tensor:
    """(K, NUMEL), different on every rank."""
    random = torch.Generator().manual_seed(step)
    return torch.randn(K, NUMEL, generator=random) + torch.arange(float(K))[:, None]


def optimizer_of(parameters, transport, compressor, feedback, exchange="auto", lr=1.0, **more):
    name, values = compressor
    compression = compressors.make(name, seed=2, **values)
    made = torch.optim.SGD(parameters, lr=lr)
    return DistributedOptimizer(
        made, compression=compression, transport=transport, feedback=feedback, exchange=exchange, **more
    )


def means(compressor, feedback, steps, backward=False, **more):
    """(means, memories) of every step, of every rank."""

    def work(transport):
        parameter = nn.Parameter(torch.zeros(NUMEL))
        optimizer = optimizer_of([parameter], transport, compressor, feedback, **more)
        found, memories = [], []
        for step in steps:
            optimizer.zero_grad()
            gradient = gradients(step)[transport.rank]
            if backward:
                (parameter * gradient).sum().backward()
            else:
                parameter.grad = gradient.clone()
            optimizer.synchronize()
            found.append(parameter.grad.clone())
            (memory,) = optimizer.state_dict()["local"]["memory"]["parameters"].values()
            memories.append(memory)
            with optimizer.skip_synchronize():
                optimizer.step()
        return torch.stack(found), memories

    return inprocess.run(K, work)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("compressor", COMPRESSORS, ids=str)
def test_error_feedback_loses_nothing(compressor, backward):
    """Summed over steps, the means are those of the gradients, less what the ranks still remember."""
    results = means(compressor, "error", range(6), backward)
    expected = sum(gradients(step).double() for step in range(6)).mean(0)
    left = sum(memories[-1][0].double() for _, memories in results) / K
    for found, _ in results:
        assert torch.equal(found, results[0][0])
        torch.testing.assert_close(found.double().sum(0), expected - left, rtol=0, atol=1e-4)
    assert left.abs().max() > 0.01


@pytest.mark.parametrize("compressor", COMPRESSORS[1:], ids=str)
def test_shifts_have_the_mean_that_all_ranks_know(compressor):
    results = means(compressor, "shift", range(5), shift_rate=0.5)
    for step in range(5):
        common = results[0][1][step][1]
        mine = torch.stack([memories[step][0] for _, memories in results])
        torch.testing.assert_close(mine.mean(0), common, rtol=0, atol=1e-5)
        for found, memories in results:
            assert torch.equal(memories[step][1], common)
            assert torch.equal(found[step], results[0][0][step])
    before, after = (results[0][1][step][1] for step in (3, 4))
    torch.testing.assert_close(before + 2 * (after - before), results[0][0][4], rtol=0, atol=1e-5)


def test_shifts_make_the_integers_of_different_gradients_small():
    """Gradients that do not change: what is sent goes to zero, and the mean is exact to a step of the grid."""

    def work(transport, feedback):
        parameter = nn.Parameter(torch.zeros(NUMEL))
        optimizer = optimizer_of([parameter], transport, UNBIASED, feedback)
        for _ in range(6):
            optimizer.compression.counts = compressors.IntegerCounts()
            parameter.grad = (gradients(0)[transport.rank] + 100 * transport.rank).clone()
            optimizer.synchronize()
        return parameter.grad, optimizer.compression.counts.largest

    largest = {}
    for feedback in ("none", "shift"):
        results = inprocess.run(K, lambda transport, kind=feedback: work(transport, kind))
        for mean, _ in results:
            torch.testing.assert_close(mean, gradients(0).mean(0) + 100, rtol=0, atol=0.26)
        largest[feedback] = max(integer for _, integer in results)
    assert largest["none"] > 800
    assert largest["shift"] <= 2


@pytest.mark.parametrize("feedback", ["error", "shift"])
@pytest.mark.parametrize("compressor", [UNBIASED, COMPRESSORS[2]], ids=str)
def test_it_goes_on_bit_for_bit(compressor, feedback):
    def work(transport):
        parameter, again = (nn.Parameter(torch.zeros(NUMEL)) for _ in range(2))
        first, second = (optimizer_of([p], transport, compressor, feedback, lr=0.1) for p in (parameter, again))
        _train(first, parameter, transport.rank, range(3))
        again.data.copy_(parameter.data)
        second.load_state_dict(first.state_dict())
        for optimizer, moved in ((first, parameter), (second, again)):
            _train(optimizer, moved, transport.rank, range(3, 6))
        return parameter.detach(), again.detach()

    for expected, found in inprocess.run(K, work):
        assert torch.equal(expected, found)


def _train(optimizer, parameter, rank, steps):
    for step in steps:
        parameter.grad = gradients(step)[rank].clone()
        optimizer.step()


def test_what_another_rank_remembers_is_not_taken(logged):
    def work(transport):
        parameter = nn.Parameter(torch.zeros(NUMEL))
        optimizer = optimizer_of([parameter], transport, UNBIASED, "error")
        _train(optimizer, parameter, transport.rank, range(2))
        everyone = transport.all_gather_object(optimizer.state_dict(), "states")
        if transport.rank:
            optimizer.load_state_dict(everyone[0])
            assert "loads state that rank 0 has saved" in logged.text
        (memory,) = optimizer.state_dict()["local"]["memory"]["parameters"].values()
        return memory[0]

    found = inprocess.run(K, work)
    assert found[0].any()
    assert not found[1].any()


def test_an_exchange_of_nan_leaves_no_trace():
    def work(transport):
        parameter = nn.Parameter(torch.zeros(NUMEL))
        optimizer = optimizer_of([parameter], transport, UNBIASED, "error")
        _train(optimizer, parameter, transport.rank, [0])
        (before,) = optimizer.state_dict()["local"]["memory"]["parameters"].values()
        parameter.grad = torch.full((NUMEL,), torch.nan if transport.rank == 1 else 1.0)
        optimizer.synchronize()
        (after,) = optimizer.state_dict()["local"]["memory"]["parameters"].values()
        return before[0], after[0]

    for before, after in inprocess.run(K, work):
        assert before.any()
        assert torch.equal(before, after)


def test_shifts_begin_anew_with_another_number_of_ranks():
    local = {"compression": {"stream": {"seed": 0, "rank": 0, "step": 5}}}
    for kind, kept in (("error", True), ("shift", False)):
        rank = {"optimizers": [{**local, "memory": {"kind": kind, "parameters": {}}}], "reports": [], "seconds": {}}
        state = resized({"ranks": [rank, rank]}, 3)
        assert ["memory" in each["optimizers"][0] for each in state["ranks"]] == [kept, kept, False]


class TestBadInput:
    @pytest.mark.parametrize("exchange", ["two-phase"])
    def test_exchanges_that_compress_twice(self, exchange):
        def work(transport):
            with pytest.raises(ConfigurationError, match=f"{exchange} compresses means again"):
                optimizer_of([nn.Parameter(torch.zeros(NUMEL))], transport, COMPRESSORS[2], "error", exchange)

        inprocess.run(K, work)

    def test_runs_know_the_same_names(self):
        assert FEEDBACKS == NAMES

    def test_an_unknown_one(self):
        def work(transport):
            with pytest.raises(ConfigurationError, match="unknown feedback 'errors'; it is one of none, error, shift"):
                optimizer_of([nn.Parameter(torch.zeros(NUMEL))], transport, COMPRESSORS[2], "errors")

        inprocess.run(1, work)

    def test_extra_gradient_is_warned_of(self, logged):
        def work(transport):
            made = ExtraSGD([nn.Parameter(torch.zeros(NUMEL))], lr=0.1)
            DistributedOptimizer(made, compression=compressors.make("minmax"), transport=transport, feedback="error")
            assert "feedback 'error' with ExtraSGD: its theory covers" in logged.text

        inprocess.run(1, work)

    def test_the_state_of_another_kind(self):
        def work(transport):
            one, other = (
                optimizer_of([nn.Parameter(torch.zeros(NUMEL))], transport, UNBIASED, kind)
                for kind in ("error", "shift")
            )
            with pytest.raises(ConfigurationError, match="with feedback error, not shift"):
                other.load_state_dict(one.state_dict())

        inprocess.run(1, work)
