"""Distributed training of min-max problems with compressed communication, on Horovod.

>>> from hvd_qgenx import DistributedOptimizer, ExtraAdam
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvd_qgenx.optim import (
        DistributedOptimizer,
        ExtraAdam,
        ExtraSGD,
        OptimisticAdam,
        OptimisticSGD,
        PastExtraAdam,
        PastExtraSGD,
        QGenX,
    )

__all__ = [
    "DistributedOptimizer",
    "ExtraAdam",
    "ExtraSGD",
    "OptimisticAdam",
    "OptimisticSGD",
    "PastExtraAdam",
    "PastExtraSGD",
    "QGenX",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("hvd_qgenx.optim"), name)
    raise AttributeError(name)
