"""The launcher as the environment describes it, and the limits that are put there."""

import os

import pytest

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.environment import RANKS, STALL_SHUTDOWN, STALL_WARNING
from hvd_qgenx.transport.launcher import launched_local_size, launcher_rank, launcher_size, limit_stall, starting


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


def test_torchrun_numbers_its_ranks(monkeypatch):
    _torchrun(monkeypatch)
    assert (launcher_rank(), launcher_size(), launched_local_size()) == (2, 4, 2)
    assert starting({"a": [0, 1]}) == ["torchrun", "--nproc-per-node", "2", "--no-python"]
    words = ["torchrun", "--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "a:29500"]
    assert starting({"a": [0, 1], "b": [2, 3]}) == [*words, "--nproc-per-node", "2", "--no-python"]


def test_two_launchers_are_refused(monkeypatch):
    _torchrun(monkeypatch)
    monkeypatch.setenv("HOROVOD_RANK", "0")
    with pytest.raises(ConfigurationError, match=r"torchrun, which sets RANK, and .* which sets HOROVOD_RANK"):
        launcher_rank()


def _torchrun(monkeypatch):
    world = {"RANK": "2", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    for name, value in {**world, "MASTER_ADDR": "a", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
