"""A flat buffer of parameters with all that gossip needs of it."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import torch
from torch import Tensor

from hvd_qgenx.errors import LocalDivergenceError
from hvd_qgenx.gossip.mixings.base import Heard, Letters, Mixing
from hvd_qgenx.gossip.momentum import QuasiGlobalMomentum
from hvd_qgenx.gossip.wire import NotFiniteMessageError, Wire
from hvd_qgenx.optim.flat_parameters import FlatParameters
from hvd_qgenx.optim.not_finite import listing

FAR = 100.0
"""A message that is so many times larger than the parameters were, in norm, has left every bound."""


class MixedParameters:
    """The parameters of one buffer, which are mixed with those of the neighbours.

    Args:
        buffer: holds the parameters.
        mixing: the method; its state is complete between a message and its answer.
        wire: carries the messages.
        momentum: changes gradients before the local step.
        background: carries messages while the caller goes on, one after the other.
    """

    def __init__(
        self,
        buffer: FlatParameters,
        mixing: Mixing,
        wire: Wire,
        momentum: QuasiGlobalMomentum | None,
        background: Executor,
    ) -> None:
        self.buffer, self.mixing, self.wire, self.momentum = buffer, mixing, wire, momentum
        self._background = background
        self._pending: Future[Any] | None = None
        """The answer to a message that has been sent."""
        self._limit = FAR * max(1.0, float(torch.linalg.vector_norm(buffer.vector.double())))

    @property
    def vector(self) -> Tensor:
        """The parameters, (d,)."""
        return self.buffer.vector.data

    def before_step(self, rate: float) -> None:
        """Replaces the gradients by what the local step, with step size ``rate``, is to take."""
        mixing = self.mixing
        if mixing.tracks or self.momentum:
            gradient = self.buffer.gather_gradients()
            if mixing.tracks:
                answer = self._send(mixing.gradient_message(gradient))
                mixing.hear_gradients(gradient, self._result(answer))
            if self.momentum:
                self.momentum.correct(gradient, self.buffer.row, rate)
            self.buffer.scatter_gradients(gradient)
        mixing.before_step(self.buffer.row)

    def send(self, rate: float) -> None:
        """Sends the message that follows a local step with step size ``rate``."""
        self._pending = self._send(self.mixing.message(self.buffer.row, rate))

    def wait(self) -> None:
        """Waits for the answer to the message under way, if there is one; ``hear`` takes it in.

        Raises:
            LocalDivergenceError: this rank's parameters, or a neighbour's, hold Inf or NaN.
        """
        if self._pending is not None:
            self._result(self._pending)

    def hear(self) -> None:
        """Mixes with the answer to the message under way, if there is one; raises as ``wait`` does."""
        if self._pending is not None:
            self.mixing.hear(self.buffer.row, self._result(self._pending))
            self._pending = None

    def reset(self) -> None:
        """Begins to mix anew from the parameters as they are, which neighbours tell each other uncompressed."""
        self._pending = None
        self.mixing.restart(self.buffer.row, lambda phase: self.wire.mix_exactly(self.vector, phase)[None])

    def _send(self, message: Tensor | Letters) -> Future[Any]:
        if isinstance(message, Tensor):
            norm = float(torch.linalg.vector_norm(message, dtype=torch.float64))
            if norm > self._limit:
                raise LocalDivergenceError(
                    f"gossip diverges: rank {self.wire.transport.rank} would send a message of norm {norm:.3g}; lower "
                    f"the consensus step size, which is {self.mixing.rates.consensus:g}, or that of the optimizer"
                )
        return self._background.submit(self.wire.exchange, message, self.mixing.count)

    def _result(self, answer: Future[Any]) -> Any:
        try:
            return answer.result()
        except NotFiniteMessageError:
            bad = [name for name, values in self.buffer.named() if not bool(torch.isfinite(values).all())]
            if not bad:
                raise
            rank = self.wire.transport.rank
            raise LocalDivergenceError(f"Inf or NaN in parameters on rank {rank}: {listing(bad)}") from None

    def state_dict(self) -> dict[str, Any]:
        """Returns the parameters and all that belongs to their mixing, the answer under way included."""
        answer = None if self._pending is None else self._result(self._pending)
        return {
            "parameters": self.vector.clone(),
            "mixing": self.mixing.state_dict(),
            "wire": self.wire.state_dict(),
            "momentum": self.momentum.state_dict() if self.momentum else None,
            "answer": tuple(answer) if isinstance(answer, Heard) else answer,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from ``state_dict`` of this rank."""
        self.vector.copy_(state["parameters"])
        self.mixing.load_state_dict(state["mixing"])
        self.wire.load_state_dict(state["wire"])
        if self.momentum:
            self.momentum.load_state_dict(state["momentum"])
        self._pending, answer = None, state["answer"]
        if answer is not None:
            parts = answer if isinstance(answer, tuple) else (answer,)
            if not all(isinstance(part, Tensor) and part.shape[-1:] == self.vector.shape for part in parts):
                raise ValueError("the answer under way is not of these parameters")
            self._pending = Future()
            self._pending.set_result(Heard(*answer) if isinstance(answer, tuple) else answer)
