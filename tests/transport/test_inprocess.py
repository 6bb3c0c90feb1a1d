"""Threads as ranks: what the collectives return, and how failures end."""

import os
import threading
from contextlib import nullcontext

import pytest
import torch

from compressors.kernels import threads as kernel_threads
from compressors.random import generator
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.transport import inprocess
from hvd_qgenx.transport.cores import one_thread
from hvd_qgenx.transport.inprocess import InProcess

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


class TestRandomNumbers:
    def test_every_rank_has_a_generator_of_its_own(self):
        def draw(transport: InProcess) -> list[float]:
            return torch.rand(3, generator=transport.generator).tolist()

        found = inprocess.run(K, draw, seed=7)
        assert len(set(map(tuple, found))) == K
        assert inprocess.run(K, draw, seed=7) == found
        assert not set(map(tuple, found)) & set(map(tuple, inprocess.run(K, draw, seed=8)))

    def test_a_group_of_ranks_draws_the_numbers_of_its_ranks(self):
        def draw(transport: InProcess) -> list[list[float]]:
            group = transport.local()
            return [torch.rand(2, generator=each.generator).tolist() for each in (transport, group)]

        drawn = [numbers for rank in inprocess.run(4, draw, hosts=2) for numbers in rank]
        assert len(set(map(tuple, drawn))) == 8

    def test_layers_are_made_of_a_ranks_own_numbers(self):
        """All ranks draw at once, and would share the numbers of one generator."""

        def make(transport: InProcess) -> list[list[list[float]]]:
            weights = []
            for number in range(5):
                transport.all_gather_object(number, "at once")
                with transport.drawing():
                    weights.append(torch.nn.Linear(3, 2).weight.tolist())
            return weights

        found = inprocess.run(K, make, seed=1)
        assert inprocess.run(K, make, seed=1) == found
        for rank in range(K):
            torch.set_rng_state(generator(1, rank).get_state())
            assert [torch.nn.Linear(3, 2).weight.tolist() for _ in range(5)] == found[rank]

    def test_the_global_generator_is_left_where_it_was(self):
        def draw(transport: InProcess) -> None:
            with transport.drawing():
                torch.rand(100)

        before = torch.get_rng_state()
        inprocess.run(K, draw)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_rank_that_seeds_all_ranks_is_warned_of(self, logged):
        inprocess.run(2, lambda transport: torch.manual_seed(100 + transport.rank))
        assert "seeded torch's global generator, which all ranks share" in logged.text


@pytest.mark.parametrize(("variable", "expected"), [(None, 2), ("4", 4)])
def test_a_rank_has_its_share_of_threads_whatever_another_sets(monkeypatch, variable, expected):
    """Sums depend on it, and a thread that had never used torch would take what another rank has just set."""
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    else:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()

    def work(transport: InProcess) -> int:
        with one_thread() if transport.rank == 0 else nullcontext():
            transport.all_gather_object(None, "inside")
            threads = torch.get_num_threads()
            transport.all_gather_object(None, "read")
        return threads

    torch.set_num_threads(4)
    try:
        assert inprocess.run(2, work) == [1, expected]
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("ranks", "threads"), [(1, 6), (2, 3), (4, 1), (8, 1)])
def test_compressors_of_an_optimizer_use_a_share_of_the_cores(ranks, threads, monkeypatch):
    monkeypatch.delenv("HVD_QGENX_THREADS", raising=False)
    monkeypatch.setattr(kernel_threads, "_given", None)
    monkeypatch.setattr(kernel_threads, "_share", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(6), raising=False)

    def work(transport):
        optimizer = DistributedOptimizer(torch.optim.SGD([torch.nn.Parameter(torch.ones(2))]), transport=transport)
        assert optimizer.exchange.transport is transport
        return kernel_threads.threads()

    assert inprocess.run(ranks, work) == [threads] * ranks
