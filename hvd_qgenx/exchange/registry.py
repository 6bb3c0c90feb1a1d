"""Exchanges by name. An exchange is added by a file with its class, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvd_qgenx.exchange.slices import SLICE_BYTES
from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.exchange.base import ConcreteExchange, Exchange
    from hvd_qgenx.transport import Transport

EXCHANGES: Registry[type[Exchange]] = Registry(
    "exchange",
    {
        "auto": "hvd_qgenx.exchange.auto:Auto",
        "allreduce": "hvd_qgenx.exchange.allreduce:AllReduce",
        "allgather": "hvd_qgenx.exchange.allgather:AllGather",
        "two-phase": "hvd_qgenx.exchange.twophase:TwoPhase",
        "integer-sum": "hvd_qgenx.exchange.integersum:IntegerSum",
        "integer-allreduce": "hvd_qgenx.exchange.integerallreduce:IntegerAllReduce",
        "rounds": "hvd_qgenx.exchange.rounds:Rounds",
        "hierarchical": "hvd_qgenx.exchange.hierarchical:Hierarchical",
        "hierarchical-sum": "hvd_qgenx.exchange.hierarchicalsum:HierarchicalSum",
    },
)
NAMES = tuple(EXCHANGES)
"""The names that ``make`` takes."""


def get(name: str) -> type[Exchange]:
    """Returns the class of the exchange called ``name``.

    Raises:
        ConfigurationError: there is no such exchange; the sentence gives the nearest name.
    """
    return EXCHANGES[name]


def make(name: str, transport: Transport, slice_bytes: int = SLICE_BYTES) -> Exchange:
    """Makes the exchange called ``name`` over a transport; raises as ``get`` does, and as the exchange's class.

    Examples:
        >>> from hvd_qgenx.transport.inprocess import InProcess
        >>> make("two-phase", InProcess()).transport.size
        1
    """
    return get(name)(transport, slice_bytes)


def concrete() -> dict[str, type[ConcreteExchange]]:
    """Returns the classes of all exchanges that choose among no others, by name."""
    from hvd_qgenx.exchange.base import ConcreteExchange

    return {name: found for name, found in EXCHANGES.items() if issubclass(found, ConcreteExchange)}
