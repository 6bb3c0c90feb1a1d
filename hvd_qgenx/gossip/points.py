"""The points of all ranks in one process, and the step that moves them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hvd_qgenx.gossip.mixings.base import Mixing, Rates
from hvd_qgenx.gossip.momentum import QuasiGlobalMomentum
from hvd_qgenx.gossip.simulated import Simulated


class SimulatedPoints:
    """The points of all ranks, their mixing and their messages.

    Replicas are zero at the start, as ranks know nothing of each other.

    Args:
        x: the points at the start, (n, d), which move in place.
        mixing: the method.
        carrier: of the messages.
        rates: what the method is tuned by.
        momentum: decay of a quasi-global momentum; 0: none.
        overlap: whether a message is heard one step later, where the mixing allows it, as if it travelled while a
            gradient is computed.
    """

    def __init__(
        self,
        x: Tensor,
        mixing: type[Mixing],
        carrier: Simulated,
        rates: Rates,
        momentum: float = 0.0,
        overlap: bool = False,
    ) -> None:
        self.x, self.carrier = x, carrier
        self._kind, self._mixing = mixing, mixing(carrier.rows, x, None, rates)
        self._momentum = QuasiGlobalMomentum(x, momentum) if momentum else None
        self._overlap = overlap and mixing.overlaps
        self._pending: Any = None

    def step(self, gradients: Tensor, rate: float) -> None:
        """Takes a step by the gradients (n, d), which may change, and mixes."""
        mixing = self._mixing
        if mixing.tracks:
            heard = self._answer(mixing.gradient_message(gradients))
            mixing.hear_gradients(gradients, heard)
        if self._momentum:
            self._momentum.correct(gradients, self.x, rate)
        mixing.before_step(self.x)
        self.x.sub_(gradients, alpha=rate)
        self._hear()
        self._pending = self._answer(mixing.message(self.x, rate))
        if not self._overlap:
            self._hear()

    def _answer(self, message: Any) -> Any:
        return self.carrier.exchange(message, self._mixing.count, self._kind)

    def _hear(self) -> None:
        """Mixes with the answers to messages under way."""
        if self._pending is not None:
            self._mixing.hear(self.x, self._pending)
            self._pending = None
