"""A step that one rank takes alone, to have state that Horovod can fill with that of rank 0."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class LoneStep:
    """The step by which Horovod's ``broadcast_optimizer_state`` creates the state of an optimizer that has none.

    Every rank without state takes it, with zero gradients. Weight decay moves parameters then: on all ranks
    alike in a run that begins, but not on a rank that has loaded its state.
    """

    def __init__(self) -> None:
        self.taken = False
        """True once this rank has taken the step."""
        self._moved: list[tuple[Tensor, Tensor, Tensor]] = []

    def take(self, parameters: Iterable[Tensor], step: Callable[[], object]) -> None:
        """Takes the step, and keeps what it changes."""
        before = [(parameter, parameter.detach().clone()) for parameter in parameters]
        step()
        self.taken = True
        self._moved = [(p, old, p.detach().clone()) for p, old in before if not torch.equal(p, old)]

    def settle(self, everyone: Iterable[bool]) -> None:
        """Moves parameters back, unless something else has changed them or all ranks have taken such a step."""
        if not all(everyone):
            for parameter, before, after in self._moved:
                if torch.equal(parameter, after):
                    parameter.detach().copy_(before)
        self._moved.clear()
