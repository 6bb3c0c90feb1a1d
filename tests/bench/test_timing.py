"""Times taken in turn, by a clock that only the actions move."""

import pytest

from hvd_qgenx.bench import timing
from hvd_qgenx.bench.timing import Times, interleaved


def test_ratios_are_of_the_same_round():
    ours, theirs = Times((1.0, 2.0, 4.0)), Times((2.0, 2.0, 20.0))
    assert ours.ratio(theirs) == 2.0
    assert ours.as_dict() == {"median": 2.0, "min": 1.0, "max": 4.0}


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def test_actions_take_turns(clock):
    done = []

    def take(name, seconds):
        done.append(name)
        clock[0] += seconds

    found = interleaved({"a": lambda: take("a", 1.0), "b": lambda: take("b", 3.0)}, rounds=2)
    assert found == {"a": Times((1.0, 1.0)), "b": Times((3.0, 3.0))}
    assert done[-4:] == ["a", "b", "a", "b"]


def test_short_actions_are_done_several_times_over(clock):
    calls = []

    def act():
        calls.append(1)
        clock[0] += timing.LEAST_SECONDS / 4

    found = interleaved({"short": act}, rounds=1)
    assert found["short"].rounds == pytest.approx((timing.LEAST_SECONDS / 4,))
    assert len(calls) == 2 + 4


def test_waiting_for_the_device_counts(clock):
    def finish():
        clock[0] += 0.5

    assert interleaved({"launch": lambda: None}, 1, finish)["launch"].rounds == (0.5,)


def test_slow_actions_are_timed_less_often(clock):
    def act():
        clock[0] += timing.ENOUGH_SECONDS / 2

    assert len(interleaved({"slow": act}, rounds=7)["slow"].rounds) == timing.LEAST_ROUNDS
    assert len(interleaved({"slow": act}, rounds=2)["slow"].rounds) == 2
