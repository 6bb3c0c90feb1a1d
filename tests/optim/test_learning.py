"""Compressors that learn, in a distributed optimizer."""

import pytest
import torch

import compressors
from compressors import LevelUpdate
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.optim.level_updates import ALL
from hvd_qgenx.transport import inprocess

K = 3


def gradients(rank: int, step: int, numel: int = 6000) -> torch.Tensor:
    random = torch.Generator().manual_seed(100 * step + rank)
    return (1 + rank) * torch.randn(numel, generator=random).pow(3)


def train(transport, compression, learn_at=(1, 3), steps=5, exchange="auto"):
    parameter = torch.zeros(60, 100, requires_grad=True)
    optimizer = DistributedOptimizer(
        torch.optim.SGD([parameter], lr=0.1), None, compression, exchange=exchange, transport=transport
    )
    level_updates = []
    for step in range(steps):
        parameter.grad = gradients(transport.rank, step).view(60, 100)
        optimizer.update_levels_next = step in learn_at
        optimizer.step()
        level_updates.append(optimizer.level_updates.get(ALL))
    return parameter.detach(), level_updates, optimizer.report.bytes_sent, optimizer.compression


@pytest.mark.parametrize("exchange", ["allgather", "two-phase"])
@pytest.mark.parametrize("name", ["alq", "alq-gd", "amq"])
def test_all_ranks_learn_the_same_levels_and_stay_equal(name, exchange):
    everyone = inprocess.run(K, lambda t: train(t, compressors.make(name, bits=4), exchange=exchange))
    parameter, level_updates, _, compressor = everyone[0]
    assert [level_update and level_update.version for level_update in level_updates] == [None, 1, 1, 2, 2]
    assert compressor.levels == level_updates[-1].levels != level_updates[1].levels
    for other, theirs, _, adapted in everyone:
        assert torch.equal(other, parameter)
        assert theirs == level_updates
        assert (adapted.version, adapted.levels) == (2, compressor.levels)


def test_the_levels_are_those_fitted_to_all_ranks_gradients():
    level_updates = inprocess.run(K, lambda t: train(t, compressors.make("alq", bits=4), learn_at=(0,), steps=1))[1][1]
    alone = compressors.make("alq", bits=4)
    assert level_updates[0] == alone.fit([alone.observe(gradients(rank, 0)) for rank in range(K)])


def test_combinators_learn_too():
    inner = compressors.make("alq", bits=4)
    wrapped = compressors.Exempt(compressors.Coded(inner))
    plain, coded = (inprocess.run(K, lambda t, c=c: train(t, c))[0] for c in (compressors.Exempt(inner), wrapped))
    assert torch.equal(plain[0], coded[0])
    assert plain[1] == coded[1]
    assert coded[2] < plain[2]


def test_statistics_and_levels_are_counted_as_sent():
    compressor = compressors.make("alq", bits=4)
    statistics = 8 * len(compressor.observe(torch.ones(1)))
    with_level_update, without = (
        [rank[2] for rank in inprocess.run(K, lambda t, at=at: train(t, compressor, learn_at=at, steps=1))]
        for at in ((0,), ())
    )
    levels = 8 * (3 + len(compressor.levels))
    lengths = 8
    assert [one - other for one, other in zip(with_level_update, without, strict=True)] == [
        (K - 1) * (statistics + lengths + (levels if rank == 0 else 0)) for rank in range(K)
    ]


def test_nothing_to_learn_is_no_error():
    level_updates = inprocess.run(K, lambda t: train(t, compressors.make("minmax")))[0][1]
    assert level_updates == [None] * 5


def test_resumed_after_a_level_update_it_decodes_with_the_same_levels():
    def work(transport, resume_at):
        def make():
            parameter = torch.zeros(60, 100, requires_grad=True)
            sgd = torch.optim.SGD([parameter], lr=0.1)
            return parameter, DistributedOptimizer(sgd, None, compressors.make("alq"), transport=transport)

        parameter, optimizer = make()
        for step in range(6):
            if step == resume_at:
                state, value = optimizer.state_dict(), parameter.detach().clone()
                parameter, optimizer = make()
                parameter.data.copy_(value)
                optimizer.load_state_dict(state)
            parameter.grad = gradients(transport.rank, step).view(60, 100)
            optimizer.update_levels_next = step in (1, 4)
            optimizer.step()
        return parameter.detach()

    expected = inprocess.run(K, lambda t: work(t, None))[0]
    for resume_at in range(1, 6):
        assert all(torch.equal(found, expected) for found in inprocess.run(K, lambda t, at=resume_at: work(t, at)))


def test_a_level_update_survives_the_wire():
    level_update = LevelUpdate(7, (0.0, 0.125, 1.0), 0.5, 0.1)
    assert LevelUpdate.from_bytes(level_update.to_bytes()) == [level_update]
