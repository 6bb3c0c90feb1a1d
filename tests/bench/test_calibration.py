"""Constants of a machine recovered from the cost model's own times."""

import math

import pytest

from hvd_qgenx.bench.calibration import Observation, calibrate
from hvd_qgenx.exchange import AllReduce
from hvd_qgenx.exchange.cost import FP32, CodecSpeed, Machine, Ranks
from hvd_qgenx.exchange.registry import concrete


def test_calibration_recovers_the_machine():
    machine = Machine(1.2e8, 8e-5, 7e-4, 3e9)
    codecs = {"allreduce": FP32, "allgather": CodecSpeed(8, 1e9, 2e9), "two-phase": CodecSpeed(4, 1e9, 2e9)}
    seen = [
        Observation(name, ranks, numel, codec, concrete()[name].cost(machine, ranks, numel, codec, 1, 8))
        for name, codec in codecs.items()
        for ranks in (Ranks(3), Ranks(1, 3))
        for numel in (1000, 100_000, 10_000_000)
    ]
    found = calibrate(seen)
    for constant in ("bandwidth", "latency", "negotiation", "local_bandwidth"):
        assert getattr(found, constant) == pytest.approx(getattr(machine, constant))
    assert [o.predicted(found) for o in seen] == pytest.approx([o.seconds for o in seen])


def test_what_was_not_seen_costs_nothing():
    found = calibrate([Observation("allreduce", Ranks(3), 1_000_000, FP32, 0.1)])
    assert found.local_bandwidth == math.inf
    assert AllReduce.cost(found, Ranks(3), 1e6) == pytest.approx(0.1)
