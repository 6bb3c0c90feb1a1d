"""Rehearsals among threads: what is timed, and that time and bytes are kept to."""

import time

import pytest

import compressors
from hvd_qgenx.bench import workloads
from hvd_qgenx.bench.workloads import Workload
from hvd_qgenx.doctor import rehearsal
from hvd_qgenx.doctor.candidates import candidates
from hvd_qgenx.doctor.rehearsal import MOST_ROUNDS, Budget, Rehearsal, affordable, parts, rehearse
from hvd_qgenx.transport import inprocess

LOAD = Workload("small", ((512, 1024), (100,)))
MADE = {"fp16": "fp16", "minmax:bits=4": "minmax"}


def play(ranks=3, seconds=60.0, size=1e12, expected=1e-3, load=LOAD):
    made = {text: compressors.make(name) for text, name in MADE.items()}

    def work(transport):
        budget = Budget(transport, time.perf_counter() + seconds, size)
        found = rehearse(candidates(made, hierarchical=False), load, transport, budget, lambda *_: expected)
        return {str(one): own for one, own in found.items()}, budget.bytes

    everyone = inprocess.run(ranks, work)
    assert all(theirs == everyone[0] for theirs in everyone)
    return everyone[0]


def test_all_are_rehearsed_up_to_the_whole():
    found, left = play()
    assert list(found) == ["none, allreduce", "fp16, allreduce", "minmax:bits=4, allgather", "minmax:bits=4, two-phase"]
    for own in found.values():
        assert list(own.seconds) == [load.numel for load in parts(LOAD)]
        assert len(own.seconds[LOAD.numel]) == MOST_ROUNDS
    assert found["none, allreduce"].bytes_sent[LOAD.numel] == 2 * 2 * 4 * LOAD.numel // 3
    assert found["fp16, allreduce"].bytes_sent[LOAD.numel] < 0.51 * found["none, allreduce"].bytes_sent[LOAD.numel]
    once = sum(own.bytes_sent[LOAD.numel] for own in found.values())
    assert 1e12 - left >= MOST_ROUNDS * once


def test_no_more_bytes_than_allowed():
    found, left = play(size=1e7)
    assert left >= 0
    assert min(max(own.seconds) for own in found.values()) < LOAD.numel


def test_what_would_take_too_long_is_left_out():
    found, left = play(seconds=5.0, expected=100.0)
    assert found == {}
    assert left == 1e12


def test_when_time_is_up_nothing_is_begun():
    found, left = play(seconds=-1.0, expected=-1.0)
    assert found == {}
    assert left == 1e12


def test_the_quickest_that_fit_together():
    one, two, three, four = candidates({text: compressors.make(name) for text, name in MADE.items()}, False)
    costs = {one: (5.0, 10.0), two: (1.0, 10.0), three: (2.0, 10.0), four: (3.0, 10.0)}
    assert affordable(costs, 6.0, 100.0) == [two, three, four]
    assert affordable(costs, 5.9, 100.0) == [two, three]
    assert affordable(costs, 100.0, 25.0) == [two, three]
    assert affordable(costs, 0.5, 100.0) == []


def test_parts_keep_the_number_of_tensors():
    load = Workload("resnet18", workloads.resnet18())
    sizes = [part.numel for part in parts(load)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == load.numel
    assert sizes[0] < 1.2 * rehearsal.FIRST
    assert {len(part.shapes) for part in parts(load)} == {len(load.shapes)}
    small = parts(load)[0]
    assert [shape for shape in small.shapes if len(shape) < 2] == [shape for shape in load.shapes if len(shape) < 2]


@pytest.mark.parametrize("numel", [1, 1000])
def test_small_models_have_parts_too(numel):
    assert parts(workloads.vector(numel))[-1].numel == numel


def test_large_models_are_not_rehearsed_whole():
    assert parts(workloads.vector(10**10))[-1].numel == pytest.approx(rehearsal.MOST, rel=0.01)


def test_growth_is_in_proportion():
    own = Rehearsal({10: [1.0], 100: [3.0, 2.0, 9.0]}, {10: 5, 100: 40})
    assert own.grown(400) == (12.0, 160)
