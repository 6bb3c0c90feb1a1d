"""Sums of numbers, one from every rank, that travel beside the gradients."""

import math

import torch
from torch import Tensor

from hvd_qgenx.exchange import Report
from hvd_qgenx.transport import Transport, Work


class WorkerSum:
    """The sum of all ranks' terms for one move.

    Args:
        transport: carries the terms.
        name: names the collective; equal on all ranks.
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport, self._name = transport, name
        self._work: Work[list[Tensor]] | None = None

    @property
    def started(self) -> bool:
        """Tells if terms are under way."""
        return self._work is not None

    def start(self, term: float) -> None:
        """Sends this rank's term to all ranks. Collective."""
        mine = torch.tensor([term], dtype=torch.float64)
        self._work = self._transport.all_gather(mine, [1] * self._transport.size, self._name)

    def wait(self, report: Report) -> float:
        """Returns the sum, rounded once: the same bits on all ranks; 0 if no terms are under way."""
        return math.fsum(term.item() for term in report.wait(self._work)) if self._work else 0.0

    def forget(self) -> None:
        """Ends a move; the next has a sum of its own."""
        self._work = None
