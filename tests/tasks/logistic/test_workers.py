"""Workers are dealt to ranks, and their sums have the same bits for any number of ranks."""

import pytest
import torch

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.logistic.averaging import Exact, Iteration
from hvd_qgenx.tasks.logistic.workers import Workers
from hvd_qgenx.transport import inprocess

VECTORS = torch.randn(7, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 9


def in_order(vectors):
    total = vectors[0].clone()
    for vector in vectors[1:]:
        total += vector
    return total


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("width", [11, 2, 1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_sums_are_taken_in_the_order_of_workers(ranks, width, dtype):
    vectors = (1000 * VECTORS[:, :width]).to(dtype)

    def total(transport):
        workers = Workers(7, transport)
        return workers.sum(vectors[list(workers.own)])

    for found in inprocess.run(ranks, total):
        assert torch.equal(found, in_order(vectors))


def test_workers_are_dealt_in_turn():
    assert inprocess.run(3, lambda transport: list(Workers(7, transport).own)) == [[0, 3, 6], [1, 4], [2, 5]]


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_largest_magnitude_of_all_workers(ranks):
    def largest(transport):
        workers = Workers(7, transport)
        return workers.largest(VECTORS[list(workers.own)])

    assert inprocess.run(ranks, largest) == [float(VECTORS.abs().max())] * ranks


def test_more_ranks_than_workers_are_refused():
    with pytest.raises(ConfigurationError, match="3 ranks for 2 workers; start at most 2 ranks"):
        inprocess.run(3, lambda transport: Workers(2, transport))


def test_the_exact_mean():
    averaged = Exact(Workers(7, inprocess.InProcess()), 11, 0).mean(VECTORS, Iteration(0, 1.0, torch.zeros(11)))
    assert torch.equal(averaged.mean, in_order(VECTORS) / 7)
    assert torch.equal(averaged.sent, VECTORS)
    assert averaged.bytes_sent == 2 * 6 * 88 // 7
    assert (averaged.largest_integer, averaged.largest_sum) == (0, 0)


@pytest.mark.parametrize("ranks", [1, 4])
def test_bytes_are_those_of_the_transport_with_a_worker_on_each_rank(ranks, monkeypatch):
    """Eight coordinates, so that slices have the same size."""
    sent = []

    def total(transport):
        for name in ("all_to_all", "all_gather"):
            call = getattr(transport, name)

            def counted(*arguments, call=call):
                work = call(*arguments)
                sent.append(work.bytes_sent)
                return work

            monkeypatch.setattr(transport, name, counted)
        workers = Workers(ranks, transport)
        workers.sum(VECTORS[: len(workers.own), :8].contiguous())
        return workers.ring_bytes(64)

    assert sum(inprocess.run(ranks, total)) == sum(sent)
