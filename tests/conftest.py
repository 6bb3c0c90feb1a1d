"""What tests share."""

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():  # before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("OMPI_MCA_mpi_yield_when_idle", "1")  # tests side by side start more ranks than there are cores


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups tests that one process must run: those that raise hosts, and modules, which share what they started."""
    for item in items:
        folder = item.nodeid.rpartition("/")[0]
        if "three_hosts" in vars(item.module):
            item.add_marker(pytest.mark.xdist_group("hosts"))
        elif not folder.startswith("tests/compressors"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; without one, tests that need it are skipped."""
    if "HVD_QGENX_DATA" not in os.environ:
        pytest.skip("HVD_QGENX_DATA names no folder of data sets")
    return Path(os.environ["HVD_QGENX_DATA"])


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)
