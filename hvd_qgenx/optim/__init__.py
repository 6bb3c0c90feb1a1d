"""Optimizers for games, and any optimizer made distributed with compressed exchanges."""

from hvd_qgenx.optim.distributed import DistributedOptimizer
from hvd_qgenx.optim.extragradient import ExtraAdam, Extragradient, ExtraSGD
from hvd_qgenx.optim.optimistic import Optimistic, OptimisticAdam, OptimisticSGD
from hvd_qgenx.optim.past import PastExtraAdam, PastExtragradient, PastExtraSGD
from hvd_qgenx.optim.qgenx import QGenX

__all__ = [
    "DistributedOptimizer",
    "ExtraAdam",
    "ExtraSGD",
    "Extragradient",
    "Optimistic",
    "OptimisticAdam",
    "OptimisticSGD",
    "PastExtraAdam",
    "PastExtraSGD",
    "PastExtragradient",
    "QGenX",
]
