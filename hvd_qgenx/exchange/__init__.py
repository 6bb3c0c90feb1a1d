"""How the payloads of all ranks become the mean on every rank."""

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
