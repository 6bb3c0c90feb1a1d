"""The memories of an optimizer's buffers: of error feedback, shifts, or momentum before the exchange."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import feedback
from hvd_qgenx.exchange.feedback import Memory
from hvd_qgenx.optim.buffers import FlatBuffer
from hvd_qgenx.optim.local_momentum import LocalMomentum, check_taken_over, take_over


class Memories:
    """One memory for every buffer that is compressed; they stay with their parameters when buffers are made anew.

    Args:
        feedback: ``none``, ``error`` or ``shift``.
        rate: that of shifts.
        momentum: apply SGD's momentum and weight decay before the exchange.
    """

    def __init__(self, feedback: str, rate: float, momentum: bool = False) -> None:
        self.feedback, self._rate, self._momentum = feedback, rate, momentum
        self._of: dict[FlatBuffer, Memory] = {}

    @property
    def kind(self) -> str:
        """Names what is remembered; ``none`` if nothing is."""
        names = [name for name, there in (("momentum", self._momentum), (self.feedback, True)) if there]
        return "+".join(name for name in names if name != "none") or "none"

    def lay_out(self, buffers: Iterable[FlatBuffer], groups: Sequence[dict[str, Any]]) -> None:
        """Makes memories for buffers; parameters keep what was remembered of them.

        Raises:
            ConfigurationError: momentum cannot be taken over from these parameter groups.
        """
        before = self._parts()
        rules = take_over(groups) if self._momentum else None
        self._of = {}
        for buffer in buffers:
            memory = feedback.make(self.feedback, self._rate, buffer.vector, buffer.codec)
            if rules is not None:
                masked = any(compressor.masks for compressor, _, _ in buffer.codec.segments)
                memory = LocalMomentum(buffer, rules, memory, masked)
            if memory is not None:
                self._of[buffer] = memory
        self._put(before)

    def doubts(self, buffers: Iterable[FlatBuffer]) -> Iterator[str]:
        """Yields a warning for every biased compressor of the buffers whose errors nothing remembers."""
        if self.feedback == "none":
            used = {compressor.name: compressor for buffer in buffers for compressor, _, _ in buffer.codec.segments}
            for name, compressor in used.items():
                if not compressor.unbiased and compressor.reduction in ("gather", "rounds"):
                    yield (
                        f"{name} is biased, and nothing makes up for what it leaves out of gradients, so training may "
                        "not reach a minimum; use it with feedback 'error'"
                    )

    def check(self, groups: Sequence[dict[str, Any]]) -> None:
        """Raises ConfigurationError if momentum would be applied twice."""
        if self._momentum:
            check_taken_over(groups)

    def of(self, buffer: FlatBuffer) -> Memory | None:
        """Returns the memory of a buffer, if it has one."""
        return self._of.get(buffer)

    def needs_own(self, buffer: FlatBuffer) -> bool:
        """Tells if a buffer's memory must know what this rank has sent."""
        memory = self._of.get(buffer)
        return memory is not None and memory.needs_own

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
