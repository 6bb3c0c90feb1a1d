"""Extra-gradient optimizers, and any optimizer made distributed with compressed exchanges."""

from hvd_qgenx.optim.distributed import DistributedOptimizer
from hvd_qgenx.optim.extragradient import ExtraAdam, Extragradient, ExtraSGD

__all__ = ["DistributedOptimizer", "ExtraAdam", "ExtraSGD", "Extragradient"]
