"""What tests share."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.launch import heed_interrupts, without_horovod

heed_interrupts()
if not torch.cuda.is_available():  # before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")  # tests side by side start more ranks than there are cores

HOSTS = ("tests/mpijob/test_on_hosts.py",)
"""Modules outside of ``tests/cluster`` that raise hosts."""


def scope(test: str) -> str:
    """Returns the group of tests, run in one process, of a test's id.

    Tests that raise hosts are one group, since there is one set of hosts. A module is one, since its tests share
    the runs that they start; tests of compressors start none, and are spread.
    """
    module = test.partition("::")[0]
    if module.startswith("tests/cluster/") or module in HOSTS:
        return "hosts"
    return test if module.startswith("tests/compressors/") else module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slowest group first, and what can be spread last; skips what needs Horovod where there is none."""
    items.sort(key=lambda item: {"hosts": 0, item.nodeid: 2}.get(scope(item.nodeid), 1))
    if reason := without_horovod():
        for item in items:
            if item.get_closest_marker("horovod"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class LoadGroups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return LoadGroups(config, log)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; without one, tests that need it are skipped."""
    if "HVD_QGENX_DATA" not in os.environ:
        pytest.skip("HVD_QGENX_DATA names no folder of data sets")
    return Path(os.environ["HVD_QGENX_DATA"])


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the library logs, also after a command of this process has kept its log from the root's handlers."""
    logger = logging.getLogger("hvd_qgenx")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread for torch and for kernels, as ranks have: sums in another order would have other bits."""
    from compressors.kernels import threads

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "_given", 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)
