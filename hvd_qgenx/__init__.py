"""Distributed training of min-max problems with compressed communication, on Horovod.

>>> from hvd_qgenx import DistributedOptimizer, ExtraAdam
"""

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
