"""The launcher as the environment describes it, and the limits that are put there."""

import os

import pytest

from hvd_qgenx.transport.environment import RANKS, STALL_SHUTDOWN, STALL_WARNING
from hvd_qgenx.transport.launcher import launcher_rank, launcher_size, limit_stall, starting


@pytest.fixture(autouse=True)
def _nothing_launched(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OMPI_", "HOROVOD_", "PMI"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(STALL_SHUTDOWN, "")  # and so is what a test sets undone
    monkeypatch.setenv(STALL_WARNING, "")


@pytest.mark.parametrize("prefix", ["OMPI_COMM_WORLD", "HOROVOD", "PMI"])
def test_a_launcher_numbers_its_ranks(monkeypatch, prefix):
    assert (launcher_rank(), launcher_size()) == (None, None)
    monkeypatch.setenv(f"{prefix}_SIZE", "3")
    assert (launcher_rank(), launcher_size()) == (None, None)
    monkeypatch.setenv(f"{prefix}_RANK", "2")
    assert (launcher_rank(), launcher_size()) == (2, 3)


@pytest.mark.parametrize(
    ("seconds", "before", "warning"),
    [(180, "", "60"), (30, "", "10"), (1, "", "1"), (180, "20", "20"), (0, "70", "70")],
)
def test_horovod_warns_before_it_ends_the_job(monkeypatch, seconds, before, warning):
    monkeypatch.setenv(STALL_WARNING, before)
    limit_stall(seconds)
    assert (os.environ[STALL_SHUTDOWN], os.environ[STALL_WARNING]) == (str(seconds), warning)


def test_the_words_that_start_the_same_ranks_again(monkeypatch):
    assert starting({"a": [0]}) == []
    monkeypatch.setenv(RANKS[0], "0")
    assert starting({"vm": [0, 1, 2]}) == ["horovodrun", "-np", "3", "-H", "localhost:3"]
    assert starting({"a": [0, 2], "b": [1]}) == ["horovodrun", "-np", "3", "-H", "a:2,b:1"]
