"""Pairs of ranks that meet, and slow links by name."""

import pytest

from hvd_qgenx.doctor.links import MOST_BYTES, Links, Pairs, measure
from hvd_qgenx.transport import inprocess


@pytest.mark.parametrize("ranks", [2, 3, 4, 5])
def test_all_pairs_meet(ranks):
    def work(transport):
        pairs = Pairs(transport, list(range(ranks)))
        return pairs.exchange(1000), pairs.bytes_sent

    everyone = inprocess.run(ranks, work)
    seconds, sent = everyone[0]
    assert list(seconds) == [(a, b) for a in range(ranks) for b in range(a + 1, ranks)]
    assert all(taken > 0 for taken in seconds.values())
    assert sent == 1000 * (ranks - 1)
    assert everyone == [everyone[0]] * ranks


def test_one_rank_of_every_host():
    everyone = inprocess.run(6, lambda transport: measure(transport, 0.0, 0.0), hosts=3)
    found = everyone[0]
    assert found.ranks == (0, 2, 4)
    assert found.hosts == ("host 0", "host 1", "host 2")
    assert not found.one_host
    assert set(found.bandwidth) == set(found.latency) == {(0, 1), (0, 2), (1, 2)}
    assert all(theirs.bandwidth == found.bandwidth for theirs in everyone)
    assert everyone[1].bytes_sent == 0
    assert 0 < found.bytes_sent < MOST_BYTES


def test_messages_grow_as_time_and_bytes_allow():
    def sent(seconds, most_bytes):
        return inprocess.run(3, lambda transport: measure(transport, seconds, most_bytes).bytes_sent)[0]

    little, much = sent(30.0, 0.0), sent(30.0, 1e7)
    assert sent(0.0, 1e7) == little < much <= 1e7


def test_all_ranks_of_a_single_host():
    found = inprocess.run(2, lambda transport: measure(transport, 0.0, 0.0))[0]
    assert found.one_host
    assert found.name(1) == "rank 1"


def links(*bandwidths):
    pairs = [(a, b) for a in range(4) for b in range(a + 1, 4)]
    return Links(
        (0, 1, 2, 3), tuple("abcd"), dict.fromkeys(pairs, 1e-4), dict(zip(pairs, bandwidths, strict=True)), 0, 0
    )


def test_slow_links_are_named():
    assert links(100, 100, 90, 110, 60, 100).slow() == []
    assert links(100, 100, 10, 100, 100, 100).slow() == ["a to d"]
    assert links(100, 10, 100, 10, 100, 10).slow() == ["c"]


def test_a_slow_host_and_a_slow_pair():
    """The typical pair is the median one: most must be well."""
    assert links(10, 100, 100, 90, 110, 100).slow() == ["a to b"]
    assert links(100, 100, 10, 100, 10, 10).least_bandwidth() == 10
