"""Whole exchanges in one process: what is sent, and wrong results that are found."""

from functools import partial

import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.bench.codec import MismatchError
from hvd_qgenx.bench.exchange import Ours, Plan, measure
from hvd_qgenx.bench.workloads import Workload
from hvd_qgenx.transport import inprocess

LOAD = Workload("small", ((64, 1024), (100,)))


EVEN = Workload("even", ((64, 1024),))


def plan(*texts, how="auto", rate=None, load=LOAD):
    made = {text: compressors.make(text) for text in texts}
    return Plan(load, made, partial(exchange.make, how), repeats=2, rate=rate, stock=False)


def rows(ranks, asked):
    found = inprocess.run(ranks, lambda transport: measure(asked, transport))
    assert all(theirs == found[0] for theirs in found)
    return {row["system"]: row for row in found[0]}


def test_what_is_sent():
    found = rows(3, plan("none", "minmax", rate=1e6))
    assert found["none"]["bytes_sent"] == 2 * 2 * 4 * LOAD.numel // 3
    assert found["none"]["pattern"] == "allreduce"
    assert found["minmax"]["pattern"] == "two-phase"
    assert found["minmax"]["floor_seconds"] == found["minmax"]["bytes_sent"] / 1e6
    assert found["minmax"]["floor_ratio"] == found["minmax"]["seconds"]["median"] / found["minmax"]["floor_seconds"]
    assert (found["minmax"]["ranks"], found["minmax"]["hosts"], found["minmax"]["ranks_on_machine"]) == (3, 1, 3)
    assert found["minmax"]["fp32_ratio"] is None


@pytest.mark.parametrize("ranks", [2, 4, 8, 16])
def test_bytes_of_two_phase_do_not_grow_with_ranks(ranks):
    """2 (K-1)/K payloads of 64 buckets, each of 8 + 512 bytes."""
    sent = rows(ranks, plan("minmax", how="two-phase", load=EVEN))["minmax"]["bytes_sent"]
    assert sent * ranks / (2 * (ranks - 1)) == 64 * (8 + 512)


def test_bytes_of_all_gather_grow():
    sent = {ranks: rows(ranks, plan("minmax", how="allgather"))["minmax"]["bytes_sent"] for ranks in (2, 4)}
    assert sent[4] == 3 * sent[2]


@pytest.mark.parametrize("name", sorted(set(compressors.names()) - {"none"}))
def test_every_compressor_is_near_enough(name):
    rows(2, plan(name))


def test_a_result_that_is_not_the_mean_is_found(monkeypatch):
    right = Ours.result
    monkeypatch.setattr(Ours, "result", lambda self: 3 * right(self))
    with pytest.raises(MismatchError, match="minmax: the result is not the mean over ranks"):
        inprocess.run(3, lambda transport: measure(plan("minmax"), transport))


def test_a_result_without_one_rank_is_found(monkeypatch):
    monkeypatch.setattr(Ours, "result", lambda self: (sum_of(0) + sum_of(1)) / 2)
    with pytest.raises(MismatchError, match="not the mean"):
        inprocess.run(3, lambda transport: measure(plan("minmax"), transport))


def sum_of(rank):
    return torch.cat([gradient.flatten() for gradient in LOAD.gradients(rank)])


def test_nan_is_found(monkeypatch):
    monkeypatch.setattr(Ours, "result", lambda self: torch.full((LOAD.numel,), float("nan")))
    with pytest.raises(MismatchError, match="not the mean"):
        inprocess.run(2, lambda transport: measure(plan("minmax"), transport))


def test_different_results_are_found(monkeypatch):
    right = Ours.result
    monkeypatch.setattr(Ours, "result", lambda self: right(self) + 1e-6 * self.optimizer.exchange.transport.rank)
    with pytest.raises(MismatchError, match="minmax: ranks ended with different results"):
        inprocess.run(2, lambda transport: measure(plan("minmax"), transport))
