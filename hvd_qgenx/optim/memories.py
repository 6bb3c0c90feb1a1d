"""The memories of error feedback, or of shifts, of an optimizer's buffers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import feedback
from hvd_qgenx.exchange.feedback import Memory
from hvd_qgenx.optim.buffers import FlatGradients


class Memories:
    """One memory for every buffer that is compressed; they stay with their parameters when buffers are made anew.

    Args:
        kind: ``none``, ``error`` or ``shift``.
        rate: that of shifts.
    """

    def __init__(self, kind: str, rate: float) -> None:
        self.kind, self._rate = kind, rate
        self._of: dict[FlatGradients, Memory] = {}

    def lay_out(self, buffers: Iterable[FlatGradients]) -> None:
        """Makes memories for buffers; parameters keep what was remembered of them."""
        before = self._parts()
        self._of = {}
        for buffer in buffers:
            memory = feedback.make(self.kind, self._rate, buffer.vector, buffer.codec)
            if memory is not None:
                self._of[buffer] = memory
        self._put(before)

    def of(self, buffer: FlatGradients) -> Memory | None:
        """Returns the memory of a buffer, if it has one."""
        return self._of.get(buffer)

    def state(self, names: Mapping[Tensor, str]) -> dict[str, Any]:
        """Returns what is remembered, by the names of parameters."""
        parts = {names[p]: [part.clone() for part in found] for p, found in self._parts().items()}
        return {"kind": self.kind, "parameters": parts}

    def load(self, state: Mapping[str, Any] | None, names: Mapping[Tensor, str]) -> None:
        """Remembers the ``state``; parameters that are not in it begin with zeros, as all do if there is none.

        Raises:
            ConfigurationError: it is the state of another kind of memory.
        """
        if state is not None and state["kind"] != self.kind:
            raise ConfigurationError(
                f"the state is that of an optimizer with feedback {state['kind']}, not {self.kind}"
            )
        for memory in self._of.values():
            for vector in memory.vectors:
                vector.zero_()
        stored = state["parameters"] if state else {}
        self._put({p: stored[name] for p, name in names.items() if name in stored})

    def _parts(self) -> dict[Tensor, list[Tensor]]:
        """Returns the parts of the memories' vectors that belong to each parameter."""
        return {
            p: [buffer.part(vector, p) for vector in memory.vectors]
            for buffer, memory in self._of.items()
            for p in buffer.parameters
        }

    def _put(self, values: Mapping[Tensor, list[Tensor]]) -> None:
        for parameter, parts in self._parts().items():
            for part, value in zip(parts, values.get(parameter, ()), strict=False):
                part.copy_(value)
