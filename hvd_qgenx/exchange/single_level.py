"""The choice between the exchanges that treat all ranks alike."""

from hvd_qgenx.exchange.allgather import AllGather
from hvd_qgenx.exchange.base import ConcreteExchange
from hvd_qgenx.exchange.twophase import TwoPhase


def single_level(ranks: int) -> type[ConcreteExchange]:
    """Returns the better exchange of payloads for so many ranks.

    With two ranks all-gather and two-phase send the same bytes, and all-gather quantizes once; beyond, the bytes of
    two-phase do not grow.
    """
    return AllGather if ranks <= 2 else TwoPhase
