"""What tests share."""

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():  # before anything imports Triton
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; without one, tests that need it are skipped."""
    if "HVD_QGENX_DATA" not in os.environ:
        pytest.skip("HVD_QGENX_DATA names no folder of data sets")
    return Path(os.environ["HVD_QGENX_DATA"])


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)
