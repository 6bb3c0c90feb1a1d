"""Distributions of coordinates by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DISTRIBUTIONS: Registry[Callable[[np.random.Generator, int], NDArray[np.float64]]] = Registry(
    "distribution",
    {
        "gaussian": "hvd_qgenx.levels.sources:gaussian",
        "laplace": "hvd_qgenx.levels.sources:laplace",
        "student-t": "hvd_qgenx.levels.sources:student_t",
        "uniform": "hvd_qgenx.levels.sources:uniform",
    },
)
"""Functions that draw so many independent values from a generator."""
