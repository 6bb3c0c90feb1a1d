"""Optimizers for games, and any optimizer made distributed with compressed exchanges."""

from typing import TYPE_CHECKING

from hvd_qgenx.exports import lazy

__all__ = [
    "QODA",
    "DecentralizedOptimizer",
    "DistributedOptimizer",
    "ExtraAdam",
    "ExtraSGD",
    "Extragradient",
    "Gossip",
    "Optimistic",
    "OptimisticAdam",
    "OptimisticSGD",
    "PastExtraAdam",
    "PastExtraSGD",
    "PastExtragradient",
    "QGenX",
    "layer_kinds",
]

if TYPE_CHECKING:
    from hvd_qgenx.optim.decentralized import DecentralizedOptimizer, Gossip
    from hvd_qgenx.optim.distributed import DistributedOptimizer
    from hvd_qgenx.optim.extragradient import ExtraAdam, Extragradient, ExtraSGD
    from hvd_qgenx.optim.layers import layer_kinds
    from hvd_qgenx.optim.optimistic import Optimistic, OptimisticAdam, OptimisticSGD
    from hvd_qgenx.optim.past import PastExtraAdam, PastExtragradient, PastExtraSGD
    from hvd_qgenx.optim.qgenx import QGenX
    from hvd_qgenx.optim.qoda import QODA
else:
    __getattr__ = lazy(
        __name__,
        {
            "DecentralizedOptimizer": "hvd_qgenx.optim.decentralized",
            "DistributedOptimizer": "hvd_qgenx.optim.distributed",
            "ExtraAdam": "hvd_qgenx.optim.extragradient",
            "ExtraSGD": "hvd_qgenx.optim.extragradient",
            "Extragradient": "hvd_qgenx.optim.extragradient",
            "Gossip": "hvd_qgenx.optim.decentralized",
            "Optimistic": "hvd_qgenx.optim.optimistic",
            "OptimisticAdam": "hvd_qgenx.optim.optimistic",
            "OptimisticSGD": "hvd_qgenx.optim.optimistic",
            "PastExtraAdam": "hvd_qgenx.optim.past",
            "PastExtraSGD": "hvd_qgenx.optim.past",
            "PastExtragradient": "hvd_qgenx.optim.past",
            "QGenX": "hvd_qgenx.optim.qgenx",
            "QODA": "hvd_qgenx.optim.qoda",
            "layer_kinds": "hvd_qgenx.optim.layers",
        },
    )
