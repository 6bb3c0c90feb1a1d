"""The better of the exchanges that treat all ranks alike."""

from hvd_qgenx.exchange.allgather import AllGather
from hvd_qgenx.exchange.base import Exchange
from hvd_qgenx.exchange.twophase import TwoPhase


def for_ranks(ranks: int) -> type[Exchange]:
    """With two ranks both send the same bytes, and all-gather quantizes once."""
    return AllGather if ranks <= 2 else TwoPhase
