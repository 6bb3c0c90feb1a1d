"""No second is lost between phases, and none is counted twice."""

import time

import pytest
import torch

from hvd_qgenx.training import phases
from hvd_qgenx.training.phases import PhaseTimer


@pytest.fixture
def clock(monkeypatch):
    """Sets what the time is."""
    now = [0.0]
    monkeypatch.setattr(phases, "time", type("Clock", (), {"perf_counter": staticmethod(lambda: now[0])}))
    return lambda time: now.__setitem__(0, time)


def test_every_second_has_a_phase(clock):
    watch = PhaseTimer(torch.device("cpu"))
    for begin in (10.0, 20.0):
        clock(begin)
        watch.start()
        for phase, at in (("data", 1), ("penalty", 3), ("data", 3.5), ("waiting", 7)):
            clock(begin + at)
            watch.credit(phase)
    assert watch.seconds() == {"data": 3.0, "penalty": 4.0, "waiting": 7.0}


def test_sums_go_on():
    watch = PhaseTimer(torch.device("cpu"))
    watch.load({"data": 5.0})
    assert watch.seconds() == {"data": 5.0}
    start = time.perf_counter()
    watch.start()
    watch.credit("data")
    assert 5 < watch.seconds()["data"] <= 5 + time.perf_counter() - start
