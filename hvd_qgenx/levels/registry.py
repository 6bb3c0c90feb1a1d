"""Distributions of coordinates by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.levels.sources import Draw

DISTRIBUTIONS: Registry[Draw] = Registry(
    "distribution",
    {
        "gaussian": "hvd_qgenx.levels.sources:gaussian",
        "laplace": "hvd_qgenx.levels.sources:laplace",
        "student-t": "hvd_qgenx.levels.sources:student_t",
        "uniform": "hvd_qgenx.levels.sources:uniform",
    },
)
