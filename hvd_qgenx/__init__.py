"""Distributed training of min-max problems with compressed communication, on Horovod.

>>> from hvd_qgenx import DistributedOptimizer, ExtraAdam
"""

from typing import TYPE_CHECKING

from hvd_qgenx import shadowing
from hvd_qgenx.exports import lazy

shadowing.check()

__all__ = [
    "DecentralizedOptimizer",
    "DistributedOptimizer",
    "ExtraAdam",
    "ExtraSGD",
    "Gossip",
    "OptimisticAdam",
    "OptimisticSGD",
    "PastExtraAdam",
    "PastExtraSGD",
    "QGenX",
    "init",
]

if TYPE_CHECKING:
    from hvd_qgenx.optim import (
        DecentralizedOptimizer,
        DistributedOptimizer,
        ExtraAdam,
        ExtraSGD,
        Gossip,
        OptimisticAdam,
        OptimisticSGD,
        PastExtraAdam,
        PastExtraSGD,
        QGenX,
    )
    from hvd_qgenx.transport.launch import init
else:
    __getattr__ = lazy(__name__, {**dict.fromkeys(__all__, "hvd_qgenx.optim"), "init": "hvd_qgenx.transport.launch"})
