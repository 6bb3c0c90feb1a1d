"""How the payloads of all ranks become the mean on every rank."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvd_qgenx.exchange.allgather import AllGather
    from hvd_qgenx.exchange.allreduce import AllReduce
    from hvd_qgenx.exchange.auto import NAMES, Auto, get, make
    from hvd_qgenx.exchange.base import Exchange
    from hvd_qgenx.exchange.codec import Codec
    from hvd_qgenx.exchange.hierarchical import Hierarchical
    from hvd_qgenx.exchange.report import Report
    from hvd_qgenx.exchange.shipment import Shipment
    from hvd_qgenx.exchange.twophase import TwoPhase

__all__ = [
    "NAMES",
    "AllGather",
    "AllReduce",
    "Auto",
    "Codec",
    "Exchange",
    "Hierarchical",
    "Report",
    "Shipment",
    "TwoPhase",
    "get",
    "make",
]
_MODULES = ("auto", "allgather", "allreduce", "base", "codec", "hierarchical", "report", "shipment", "twophase")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = import_module(f"hvd_qgenx.exchange.{module}")
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(name)
