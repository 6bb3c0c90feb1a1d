"""The cost model against arithmetic done by hand, its limits, and constants recovered from its own times."""

import math

import pytest

from hvd_qgenx.exchange.cost import (
    FP32,
    PATTERNS,
    Codec,
    Machine,
    Observation,
    Ranks,
    all_gather,
    all_reduce,
    best_slices,
    calibrate,
    hierarchical,
    two_phase,
)

GIGABIT = Machine(bandwidth=1.25e8)
THREE = Ranks(3)
FOUR_BITS = Codec(4)


def test_bytes_alone():
    assert all_reduce(GIGABIT, THREE, 3e6) == pytest.approx(2 * 2 / 3 * 12e6 / 1.25e8)
    assert two_phase(GIGABIT, THREE, 3e6, FOUR_BITS) == pytest.approx(2 * 2 / 3 * 1.5e6 / 1.25e8)
    assert all_gather(GIGABIT, THREE, 3e6, FOUR_BITS) == pytest.approx(2 * 1.5e6 / 1.25e8)


def test_latency_alone():
    """Three ranks: two messages in an all-gather or all-to-all, four in a ring all-reduce."""
    machine = Machine(latency=1e-4, negotiation=1e-3)
    assert all_reduce(machine, THREE, 1e6) == pytest.approx(1e-3 + 4e-4)
    assert all_gather(machine, THREE, 1e6) == pytest.approx(1e-3 + 2e-4)
    assert two_phase(machine, THREE, 1e6) == pytest.approx(2e-3 + 4e-4)


def test_codec_alone():
    """A million coordinates are 4 MB: encoded in 2 ms, decoded in 1 ms."""
    codec = Codec(4, encode=2e9, decode=4e9)
    assert all_reduce(Machine(), THREE, 1e6, codec) == pytest.approx(3e-3)
    assert all_gather(Machine(), THREE, 1e6, codec) == pytest.approx(2e-3 + 3 * 1e-3)
    assert two_phase(Machine(), THREE, 1e6, codec) == pytest.approx(2e-3 * 4 / 3 + 2 * 1e-3)


def test_ranks_that_share_cores_share_their_speed():
    assert Codec(4, 2e9, 4e9).shared(3, 2) == Codec(4, pytest.approx(2e9 * 2 / 3), pytest.approx(4e9 * 2 / 3))
    assert Codec(4, 2e9, 4e9).shared(1, 2) == Codec(4, 2e9, 4e9)


def test_one_slice_takes_the_sum_of_its_parts():
    machine, codec = Machine(1.25e8, 1e-4, 1e-3), Codec(4, 2e9, 4e9)
    parts = Machine(1.25e8), Machine(latency=1e-4), Machine(negotiation=1e-3)
    for cost in (all_reduce, all_gather, two_phase):
        apart = sum(cost(part, THREE, 1e6, Codec(4)) for part in parts) + cost(Machine(), THREE, 1e6, codec)
        assert cost(machine, THREE, 1e6, codec) == pytest.approx(apart)


def test_slices_overlap_codec_and_wire():
    """A codec of 10 ms and a wire of 20 ms in four slices: 2.5 + 5 for the first, 5 for each of the others."""
    codec = Codec(4, encode=4e6 * (4 / 3) / 10e-3)
    machine = Machine(bandwidth=2 * 2 / 3 * 0.5e6 / 20e-3)
    assert two_phase(machine, THREE, 1e6, codec, slices=1) == pytest.approx(30e-3)
    assert two_phase(machine, THREE, 1e6, codec, slices=4) == pytest.approx(22.5e-3)
    assert two_phase(machine, THREE, 1e6, codec, slices=4, depth=1) == pytest.approx(30e-3)


def test_what_is_under_way_hides_the_start_of_collectives():
    """Two starts of 1 ms for each of eight slices of 1 ms on the wire: 3 ms, then one every 3 ms / n."""
    machine = Machine(bandwidth=2 * 2 / 3 * 0.5e6 / 8e-3, negotiation=1e-3)
    for depth, gap in ((1, 3e-3), (2, 1.5e-3), (3, 1e-3), (8, 1e-3)):
        assert two_phase(machine, THREE, 1e6, FOUR_BITS, 8, depth) == pytest.approx(3e-3 + 7 * gap)


@pytest.mark.parametrize("slices", [1, 2, 7, 64, 1000])
def test_nothing_beats_the_wire(slices):
    machine, codec = Machine(1.25e8, 1e-5, 1e-4), Codec(4, 2e9, 4e9)
    floor = 2 * 2 / 3 * 0.5e6 / 1.25e8
    assert two_phase(machine, THREE, 1e6, codec, slices) > floor


def test_bytes_of_two_phase_do_not_grow_with_ranks():
    times = [two_phase(GIGABIT, Ranks(hosts), 1e6, FOUR_BITS) * hosts / (hosts - 1) for hosts in (2, 4, 8, 1024)]
    assert times == pytest.approx([times[0]] * 4)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_all_gather_loses_to_fp32_from_64_over_b_ranks_on(bits):
    even = 64 // bits
    fp32 = {hosts: all_reduce(GIGABIT, Ranks(hosts), 1e6) for hosts in (even - 1, even, even + 1)}
    gathered = {hosts: all_gather(GIGABIT, Ranks(hosts), 1e6, Codec(bits)) for hosts in fp32}
    assert gathered[even - 1] < fp32[even - 1]
    assert gathered[even] == pytest.approx(fp32[even])
    assert gathered[even + 1] > fp32[even + 1]


def test_ranks_of_a_host_share_its_link():
    """Four ranks on two hosts: the ring crosses a link once; all-to-all sends 2 x 2 quarters through it."""
    ranks = Ranks(2, 2)
    assert all_reduce(GIGABIT, ranks, 1e6) == pytest.approx(2 * 3 / 4 * 4e6 / 1.25e8)
    scatter, gather = 2 * 2 * 0.125e6, 3 * 0.125e6
    assert two_phase(GIGABIT, ranks, 1e6, FOUR_BITS) == pytest.approx((scatter + gather) / 1.25e8)


def test_hierarchical():
    """Two hosts of four: inside, 2 x 3/4 x 4 MB from each of four ranks, then 3/4 x 4 MB from each; between, 4 bits.
    Every rank codes a quarter: 1 MB encoded one and a half times and decoded twice.
    """
    machine, codec = Machine(1.25e8, local_bandwidth=1e9), Codec(4, 2e9, 4e9)
    inside = 4 * (2 * 3 / 4 + 3 / 4) * 4e6 / 1e9
    across = 2 * 1 / 2 * 0.5e6 / 1.25e8
    assert hierarchical(machine, Ranks(2, 4), 1e6, codec) == pytest.approx(inside + across + 1.5e6 / 2e9 + 2e6 / 4e9)
    starts = Machine(latency=1e-4, negotiation=1e-3)
    assert hierarchical(starts, Ranks(2, 4), 1e6) == pytest.approx(4e-3 + (6 + 3 + 1 + 1) * 1e-4)
    assert hierarchical(machine, THREE, 1e6, codec) == two_phase(machine, THREE, 1e6, codec)


def test_best_slices():
    codec = Codec(4, 2e9, 4e9)
    assert best_slices(Machine(1.25e8, latency=1), THREE, 1e6, codec) == 1
    assert best_slices(GIGABIT, THREE, 1e7, codec, most=16) == 16
    machine = Machine(1.25e8, 1e-4, 1e-3)
    best = best_slices(machine, THREE, 1e7, codec)
    assert 1 < best < 256
    least = two_phase(machine, THREE, 1e7, codec, best)
    assert all(two_phase(machine, THREE, 1e7, codec, slices) >= least for slices in range(1, 257))


def test_calibration_recovers_the_machine():
    machine = Machine(1.2e8, 8e-5, 7e-4, 3e9)
    codecs = {"allreduce": FP32, "allgather": Codec(8, 1e9, 2e9), "two-phase": Codec(4, 1e9, 2e9)}
    seen = [
        Observation(pattern, ranks, numel, codec, PATTERNS[pattern](machine, ranks, numel, codec, 1, 8))
        for pattern, codec in codecs.items()
        for ranks in (Ranks(3), Ranks(1, 3))
        for numel in (1000, 100_000, 10_000_000)
    ]
    found = calibrate(seen)
    for name in ("bandwidth", "latency", "negotiation", "local_bandwidth"):
        assert getattr(found, name) == pytest.approx(getattr(machine, name))
    assert [o.predicted(found) for o in seen] == pytest.approx([o.seconds for o in seen])


def test_what_was_not_seen_costs_nothing():
    found = calibrate([Observation("allreduce", THREE, 1_000_000, FP32, 0.1)])
    assert found.local_bandwidth == math.inf
    assert all_reduce(found, THREE, 1e6) == pytest.approx(0.1)
