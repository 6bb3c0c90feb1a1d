"""How the payloads of all ranks become the mean on every rank."""

from typing import TYPE_CHECKING

from hvd_qgenx.exchange.registry import NAMES, get, make
from hvd_qgenx.exports import lazy

__all__ = [
    "NAMES",
    "AllGather",
    "AllReduce",
    "Auto",
    "Codec",
    "ConcreteExchange",
    "Exchange",
    "ExchangeOptions",
    "Hierarchical",
    "Pipeline",
    "Report",
    "Transfer",
    "TwoPhase",
    "get",
    "make",
]

if TYPE_CHECKING:
    from hvd_qgenx.exchange.allgather import AllGather
    from hvd_qgenx.exchange.allreduce import AllReduce
    from hvd_qgenx.exchange.auto import Auto
    from hvd_qgenx.exchange.base import ConcreteExchange, Exchange
    from hvd_qgenx.exchange.codec import Codec
    from hvd_qgenx.exchange.hierarchical import Hierarchical
    from hvd_qgenx.exchange.pipeline import Pipeline
    from hvd_qgenx.exchange.report import Report
    from hvd_qgenx.exchange.transfer import ExchangeOptions, Transfer
    from hvd_qgenx.exchange.twophase import TwoPhase
else:
    __getattr__ = lazy(
        __name__,
        {
            "AllGather": "hvd_qgenx.exchange.allgather",
            "AllReduce": "hvd_qgenx.exchange.allreduce",
            "Auto": "hvd_qgenx.exchange.auto",
            "Codec": "hvd_qgenx.exchange.codec",
            "ConcreteExchange": "hvd_qgenx.exchange.base",
            "Exchange": "hvd_qgenx.exchange.base",
            "ExchangeOptions": "hvd_qgenx.exchange.transfer",
            "Hierarchical": "hvd_qgenx.exchange.hierarchical",
            "Pipeline": "hvd_qgenx.exchange.pipeline",
            "Report": "hvd_qgenx.exchange.report",
            "Transfer": "hvd_qgenx.exchange.transfer",
            "TwoPhase": "hvd_qgenx.exchange.twophase",
        },
    )
