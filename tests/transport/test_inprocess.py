"""Threads as ranks: what the collectives return, and how failures end."""

import threading

import pytest
import torch

from hvd_qgenx.transport import inprocess

K = 4


def test_collectives():
    def work(transport):
        rank = transport.rank
        mean = transport.all_reduce_mean(torch.full((3,), float(rank)), "mean").wait()
        mine = torch.full((rank,), rank, dtype=torch.uint8)
        gathered = transport.all_gather(mine, [0, 1, 2, 3], "gather").wait()
        sent = torch.tensor([10 * rank + to for to in range(K) for _ in range(to)], dtype=torch.uint8)
        received = transport.all_to_all(sent, range(K), "scatter", [rank] * K).wait()
        return mean.tolist(), [len(part) for part in gathered], [part.tolist() for part in received]

    for rank, result in enumerate(inprocess.run(K, work)):
        assert result == ([1.5] * 3, [0, 1, 2, 3], [[10 * sender + rank] * rank for sender in range(K)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_means_replace_the_tensor(dtype):
    """40000 + 40000 is infinite in fp16: the halves are added instead."""

    def work(transport):
        mine = torch.full((2,), 40000.0 if transport.rank else 20000.0, dtype=dtype)
        mean = transport.all_reduce_mean(mine, "mean").wait()
        return mean.data_ptr() == mine.data_ptr(), mine.tolist()

    assert inprocess.run(2, work) == [(True, [30000.0, 30000.0])] * 2


def test_other_lengths_than_those_announced_are_refused():
    def work(transport):
        transport.all_to_all(torch.zeros(2 * K), [2] * K, "scatter", [3] * K).wait()

    with pytest.raises(ValueError, match="received"):
        inprocess.run(K, work)


def test_hosts_divide_ranks():
    def work(transport):
        local, across = transport.local(), transport.across()
        assert transport.local() is local
        assert transport.across() is across
        mine = float(10**transport.rank)
        works = [group.all_reduce_mean(torch.tensor([mine]), "same name at once") for group in (local, across)]
        place = [(group.rank, group.size, group.local_rank, group.local_size) for group in (transport, local, across)]
        return transport.hosts(), place, [float(work.wait()) for work in works]

    hosts = [[0, 1], [2, 3]]
    assert inprocess.run(K, work, hosts=2) == [
        (hosts, [(0, 4, 0, 2), (0, 2, 0, 2), (0, 2, 0, 1)], [5.5, 50.5]),
        (hosts, [(1, 4, 1, 2), (1, 2, 1, 2), (0, 2, 0, 1)], [5.5, 505.0]),
        (hosts, [(2, 4, 0, 2), (0, 2, 0, 2), (1, 2, 0, 1)], [550.0, 50.5]),
        (hosts, [(3, 4, 1, 2), (1, 2, 1, 2), (1, 2, 0, 1)], [550.0, 505.0]),
    ]


@pytest.mark.parametrize(
    ("size", "hosts", "spread"), [(4, 1, [[0, 1, 2, 3]]), (3, 3, [[0], [1], [2]]), (3, 2, [[0, 1], [2]])]
)
def test_one_host_single_ranks_and_uneven_hosts_make_no_groups(size, hosts, spread):
    def work(transport):
        return transport.hosts(), transport.local(), transport.across()

    assert inprocess.run(size, work, hosts) == [(spread, None, None)] * size


def test_a_failure_ends_ranks_that_wait_in_another_group():
    def work(transport):
        local = transport.local()
        if transport.rank == 3:
            raise KeyError("mine")
        local.all_reduce_mean(torch.zeros(1), "never on the second host").wait()
        transport.across().all_reduce_mean(torch.zeros(1), "never").wait()

    with pytest.raises(KeyError, match="mine"):
        inprocess.run(K, work, hosts=2)


def test_names_keep_collectives_apart():
    """Ranks wait in opposite orders; unnamed collectives would be matched by order and mixed."""

    def work(transport):
        works = {
            name: transport.all_reduce_mean(torch.full((2,), value), name) for name, value in (("a", 1.0), ("b", 2.0))
        }
        order = ("a", "b") if transport.rank % 2 else ("b", "a")
        return {name: float(works[name].wait()[0]) for name in order}

    assert inprocess.run(K, work) == [{"a": 1.0, "b": 2.0}] * K


def test_bytes_sent():
    def work(transport):
        return (
            transport.all_reduce_mean(torch.zeros(30), "r").bytes_sent,
            transport.all_gather(torch.zeros(10, dtype=torch.uint8), [10] * K, "g").bytes_sent,
            transport.all_gather(torch.zeros(10, dtype=torch.uint8), None, "unknown").bytes_sent,
            transport.all_to_all(torch.zeros(15, dtype=torch.uint8), (1, 2, 4, 8), "s").bytes_sent,
            transport.all_to_all(torch.zeros(15, dtype=torch.float16), (1, 2, 4, 8), "h").bytes_sent,
        )

    assert inprocess.run(K, work) == [(2 * 3 * 120 // 4, 30, 54, 15 - own, 30 - 2 * own) for own in (1, 2, 4, 8)]


def test_what_a_rank_changes_after_sending_does_not_reach_others():
    released = threading.Barrier(2)

    def work(transport):
        mine = torch.ones(2)
        work = transport.all_gather(mine, [2, 2], "g")
        mine.zero_()
        released.wait()
        return [part.tolist() for part in work.wait()]

    assert inprocess.run(2, work) == [[[1.0, 1.0]] * 2] * 2


def test_the_first_failure_ends_all_ranks():
    def work(transport):
        if transport.rank == 2:
            raise KeyError("mine")
        transport.all_reduce_mean(torch.zeros(1), "never").wait()

    with pytest.raises(KeyError, match="mine"):
        inprocess.run(K, work)


def test_one_name_twice_at_once_is_refused():
    rendezvous = inprocess.Rendezvous()
    rendezvous.put(("x", 1), 0, None)
    with pytest.raises(RuntimeError, match="'x' twice"):
        rendezvous.put(("x", 1), 0, None)
