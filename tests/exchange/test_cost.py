"""The cost model against arithmetic done by hand, and its limits."""

import pytest

from hvd_qgenx.exchange import AllGather, AllReduce, Hierarchical, TwoPhase
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks

GIGABIT = Machine(bandwidth=1.25e8)
THREE = Ranks(3)
FOUR_BITS = CodecSpeed(4)


def test_bytes_alone():
    assert AllReduce.cost(GIGABIT, THREE, 3e6) == pytest.approx(2 * 2 / 3 * 12e6 / 1.25e8)
    assert TwoPhase.cost(GIGABIT, THREE, 3e6, FOUR_BITS) == pytest.approx(2 * 2 / 3 * 1.5e6 / 1.25e8)
    assert AllGather.cost(GIGABIT, THREE, 3e6, FOUR_BITS) == pytest.approx(2 * 1.5e6 / 1.25e8)


def test_latency_alone():
    """Three ranks: two messages in an all-gather or all-to-all, four in a ring all-reduce."""
    machine = Machine(latency=1e-4, negotiation=1e-3)
    assert AllReduce.cost(machine, THREE, 1e6) == pytest.approx(1e-3 + 4e-4)
    assert AllGather.cost(machine, THREE, 1e6) == pytest.approx(1e-3 + 2e-4)
    assert TwoPhase.cost(machine, THREE, 1e6) == pytest.approx(2e-3 + 4e-4)


def test_codec_alone():
    """A million coordinates are 4 MB: encoded in 2 ms, decoded in 1 ms."""
    codec = CodecSpeed(4, encode=2e9, decode=4e9)
    assert AllReduce.cost(Machine(), THREE, 1e6, codec) == pytest.approx(3e-3)
    assert AllGather.cost(Machine(), THREE, 1e6, codec) == pytest.approx(2e-3 + 3 * 1e-3)
    assert TwoPhase.cost(Machine(), THREE, 1e6, codec) == pytest.approx(2e-3 * 4 / 3 + 2 * 1e-3)


def test_ranks_that_share_cores_share_their_speed():
    assert CodecSpeed(4, 2e9, 4e9).shared(3, 2) == CodecSpeed(4, pytest.approx(2e9 * 2 / 3), pytest.approx(4e9 * 2 / 3))
    assert CodecSpeed(4, 2e9, 4e9).shared(1, 2) == CodecSpeed(4, 2e9, 4e9)


def test_one_slice_takes_the_sum_of_its_parts():
    machine, codec = Machine(1.25e8, 1e-4, 1e-3), CodecSpeed(4, 2e9, 4e9)
    parts = Machine(1.25e8), Machine(latency=1e-4), Machine(negotiation=1e-3)
    for exchange in (AllReduce, AllGather, TwoPhase):
        apart = sum(exchange.cost(part, THREE, 1e6, CodecSpeed(4)) for part in parts) + exchange.cost(
            Machine(), THREE, 1e6, codec
        )
        assert exchange.cost(machine, THREE, 1e6, codec) == pytest.approx(apart)


def test_slices_overlap_codec_and_wire():
    """A codec of 10 ms and a wire of 20 ms in four slices: 2.5 + 5 for the first, 5 for each of the others."""
    codec = CodecSpeed(4, encode=4e6 * (4 / 3) / 10e-3)
    machine = Machine(bandwidth=2 * 2 / 3 * 0.5e6 / 20e-3)
    assert TwoPhase.cost(machine, THREE, 1e6, codec, slices=1) == pytest.approx(30e-3)
    assert TwoPhase.cost(machine, THREE, 1e6, codec, slices=4) == pytest.approx(22.5e-3)
    assert TwoPhase.cost(machine, THREE, 1e6, codec, slices=4, depth=1) == pytest.approx(30e-3)


def test_what_is_under_way_hides_the_start_of_collectives():
    """Two starts of 1 ms for each of eight slices of 1 ms on the wire: 3 ms, then one every 3 ms / n."""
    machine = Machine(bandwidth=2 * 2 / 3 * 0.5e6 / 8e-3, negotiation=1e-3)
    for depth, gap in ((1, 3e-3), (2, 1.5e-3), (3, 1e-3), (8, 1e-3)):
        assert TwoPhase.cost(machine, THREE, 1e6, FOUR_BITS, 8, depth) == pytest.approx(3e-3 + 7 * gap)


@pytest.mark.parametrize("slices", [1, 2, 7, 64, 1000])
def test_nothing_beats_the_wire(slices):
    machine, codec = Machine(1.25e8, 1e-5, 1e-4), CodecSpeed(4, 2e9, 4e9)
    floor = 2 * 2 / 3 * 0.5e6 / 1.25e8
    assert TwoPhase.cost(machine, THREE, 1e6, codec, slices) > floor


def test_bytes_of_two_phase_do_not_grow_with_ranks():
    times = [TwoPhase.cost(GIGABIT, Ranks(hosts), 1e6, FOUR_BITS) * hosts / (hosts - 1) for hosts in (2, 4, 8, 1024)]
    assert times == pytest.approx([times[0]] * 4)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_all_gather_loses_to_fp32_from_64_over_b_ranks_on(bits):
    even = 64 // bits
    fp32 = {hosts: AllReduce.cost(GIGABIT, Ranks(hosts), 1e6) for hosts in (even - 1, even, even + 1)}
    gathered = {hosts: AllGather.cost(GIGABIT, Ranks(hosts), 1e6, CodecSpeed(bits)) for hosts in fp32}
    assert gathered[even - 1] < fp32[even - 1]
    assert gathered[even] == pytest.approx(fp32[even])
    assert gathered[even + 1] > fp32[even + 1]


def test_ranks_of_a_host_share_its_link():
    """Four ranks on two hosts: the ring crosses a link once; all-to-all sends 2 x 2 quarters through it."""
    ranks = Ranks(2, 2)
    assert AllReduce.cost(GIGABIT, ranks, 1e6) == pytest.approx(2 * 3 / 4 * 4e6 / 1.25e8)
    scatter, gather = 2 * 2 * 0.125e6, 3 * 0.125e6
    assert TwoPhase.cost(GIGABIT, ranks, 1e6, FOUR_BITS) == pytest.approx((scatter + gather) / 1.25e8)


def test_hierarchical():
    """Two hosts of four: inside, 2 x 3/4 x 4 MB from each of four ranks, then 3/4 x 4 MB from each; between, 4 bits.
    Every rank codes a quarter: 1 MB encoded one and a half times and decoded twice.
    """
    machine, codec = Machine(1.25e8, local_bandwidth=1e9), CodecSpeed(4, 2e9, 4e9)
    inside = 4 * (2 * 3 / 4 + 3 / 4) * 4e6 / 1e9
    across = 2 * 1 / 2 * 0.5e6 / 1.25e8
    assert Hierarchical.cost(machine, Ranks(2, 4), 1e6, codec) == pytest.approx(
        inside + across + 1.5e6 / 2e9 + 2e6 / 4e9
    )
    starts = Machine(latency=1e-4, negotiation=1e-3)
    assert Hierarchical.cost(starts, Ranks(2, 4), 1e6) == pytest.approx(4e-3 + (6 + 3 + 1 + 1) * 1e-4)
    assert Hierarchical.cost(machine, THREE, 1e6, codec) == TwoPhase.cost(machine, THREE, 1e6, codec)
