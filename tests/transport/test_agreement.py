"""Ranks find out together whether they can do the same work."""

import threading
from contextlib import nullcontext

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import inprocess
from hvd_qgenx.transport.agreement import (
    DisagreementError,
    from_rank_0,
    on_all_ranks,
    require_same,
    require_size,
    with_keep_alive,
)
from hvd_qgenx.transport.startup import check_start

K = 4


def lines(error: DisagreementError) -> list[list[str]]:
    """The words of every row of an error's table."""
    return [line.split() for line in error.table.splitlines()[1:]]


def refused(check, hosts: int = 2) -> tuple[str, list[list[str]]]:
    """Sentence and rows that ``check(transport)`` fails with, the same on all ranks."""

    def work(transport):
        with pytest.raises(DisagreementError) as raised:
            check(transport)
        return str(raised.value), lines(raised.value)

    found = inprocess.run(K, work, hosts)
    assert found == [found[0]] * K
    return found[0]


def test_together_names_the_ranks_that_cannot():
    def check(transport):
        if transport.rank in (1, 3):
            raise ConfigurationError(f"no data on {transport.rank}")
        return transport.rank

    def work(transport):
        with pytest.raises(ConfigurationError) as raised:
            on_all_ranks(transport, "check", lambda: check(transport))
        return str(raised.value)

    assert inprocess.run(K, work) == ["rank 1: no data on 1; rank 3: no data on 3"] * K
    assert inprocess.run(K, lambda t: on_all_ranks(t, "fine", lambda: t.rank)) == [0, 1, 2, 3]


def test_with_keep_alive_waits_for_all_and_fails_where_it_fails():
    doors = [threading.Event() for _ in range(K)]

    def work(transport):
        def walk_through():
            """The last rank goes first, and lets in the next; rank 0 fails."""
            if transport.rank < K - 1:
                assert doors[transport.rank].wait(60)
            doors[transport.rank - 1].set()
            if transport.rank == 0:
                raise ConfigurationError("no data")
            return transport.rank

        with pytest.raises(ConfigurationError) if transport.rank == 0 else nullcontext():
            return with_keep_alive(transport, "walk", walk_through), [door.is_set() for door in doors]

    assert inprocess.run(K, work) == [None, *((rank, [True] * K) for rank in range(1, K))]


def test_from_rank_0_finds_or_fails_for_all():
    def fail():
        raise ConfigurationError("no weights")

    def work(transport):
        with pytest.raises(ConfigurationError, match="no weights"):
            from_rank_0(transport, "weights", fail)
        return from_rank_0(transport, "rank", lambda: transport.rank)

    assert inprocess.run(K, work) == [0] * K


def test_require_same_shows_what_differs_where():
    def values(rank):
        return {"bits": 8 if rank == 2 else 4, "seed": 1, **({"label": "x"} if rank else {})}

    sentence, rows = refused(lambda t: require_same(t, values(t.rank)))
    assert sentence.startswith("ranks disagree on the configuration: bits, label; ")
    assert rows == [
        ["bits", "4", "0,", "1,", "3", "host", "0,", "host", "1"],
        ["8", "2", "host", "1"],
        ["label", "None", "0", "host", "0"],
        ["x", "1,", "2,", "3", "host", "0,", "host", "1"],
    ]
    inprocess.run(K, lambda t: require_same(t, values(1)))


def test_require_size():
    require_size(3, None)
    require_size(3, 3)
    with pytest.raises(ConfigurationError, match="expected 4 ranks but there are 3"):
        require_size(3, 4)


class TestStart:
    def test_passes_and_can_be_passed_again(self):
        def work(transport):
            check_start(transport)
            check_start(transport, K, 2)

        inprocess.run(K, work, hosts=2)

    def test_ranks(self):
        sentence, rows = refused(lambda t: check_start(t, 3))
        assert sentence.startswith("expected 3 ranks but there are 4; start with `horovodrun -np 3`")
        assert rows[0][:3] == ["ranks", "3", "expected"]
        assert rows[1][:2] == ["4", "found"]

    def test_hosts(self):
        sentence, rows = refused(lambda t: check_start(t, K, 4))
        assert sentence.startswith("expected ranks on 4 hosts but they are on 2; ")
        assert [row[:3] for row in rows] == [["hosts", "4", "expected"], ["2", "found", "0,"]]

    def test_expectations_of_one_rank_count_for_all(self):
        """mpirun can give every rank a command line of its own."""
        sentence, rows = refused(lambda t: check_start(t, 5 if t.rank == 2 else None))
        assert "expected 5 ranks" in sentence
        assert rows[0] == ["ranks", "5", "expected", "2", "host", "1"]

    def test_versions(self, monkeypatch):
        versions = inprocess.InProcess.versions
        own = {1: {"torch": "1.0"}, 2: {"numba": "missing", "kernels": "torch"}}
        monkeypatch.setattr(inprocess.InProcess, "versions", lambda self: {**versions(self), **own.get(self.rank, {})})
        sentence, rows = refused(check_start)
        assert sentence == "ranks have different versions of kernels, numba, torch; install the same on every host"
        assert ["missing", "2", "host", "1"] in rows
        assert ["1.0", "1", "host", "0"] in rows

    def test_of_all_that_is_wrong_the_table_tells(self, monkeypatch):
        monkeypatch.setattr(inprocess.InProcess, "versions", lambda self: {"torch": str(self.rank)})
        sentence, rows = refused(lambda t: check_start(t, 3, 1))
        assert sentence.startswith("expected 3 ranks")
        assert [row[0] for row in rows] == ["ranks", "4", "hosts", "2", "torch", "1", "2", "3"]

    @pytest.mark.parametrize(
        "names", [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("HOROVOD_RANK", "HOROVOD_SIZE")]
    )
    def test_processes_that_do_not_see_each_other(self, monkeypatch, names):
        """Each of the launcher's three ranks would train by itself, and all would report success."""
        for name, value in zip(names, ("1", "3"), strict=True):
            monkeypatch.setenv(name, value)
        with pytest.raises(DisagreementError, match="the launcher started 3 ranks but Horovod sees 1") as raised:
            check_start(inprocess.InProcess())
        assert lines(raised.value)[0] == ["launched", "ranks", "3", "expected", "0", "host", "0"]

    def test_an_elastic_launcher_starts_others_later(self, monkeypatch):
        for name, value in {"HOROVOD_RANK": "0", "HOROVOD_SIZE": "3", "HOROVOD_ELASTIC": "1"}.items():
            monkeypatch.setenv(name, value)
        check_start(inprocess.InProcess())
