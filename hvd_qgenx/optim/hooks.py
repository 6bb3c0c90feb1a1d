"""Counts backward passes over parameters, and tells of gradients as they are computed."""

import weakref
from collections.abc import Callable

from torch import Tensor


class BackwardHooks:
    """Calls a listener whenever backward has computed, or added to, the gradient of a parameter.

    Neither the parameters nor these hooks keep the listener's object alive, so a parameter may be given to another
    optimizer later.

    Args:
        listener: a bound method; gets the parameter, and whether its gradient is complete.
        passes: backward passes that make a gradient complete.
    """

    def __init__(self, listener: Callable[[Tensor, bool], None], passes: int) -> None:
        self.passes = passes
        self._listener = weakref.WeakMethod(listener)
        self._names: dict[Tensor, str] = {}
        self._counts: dict[Tensor, int] = {}

    def add(self, parameter: Tensor, name: str) -> None:
        """Counts the passes of a parameter, once even if it is added again; ``name`` is for error messages."""
        if parameter not in self._names:
            parameter.register_post_accumulate_grad_hook(_weakly(self._count))
        self._names[parameter] = name

    def reset(self) -> None:
        """Counts from zero."""
        self._counts.clear()

    def _count(self, parameter: Tensor) -> None:
        """Counts a pass; raises RuntimeError if it is one too many."""
        count = self._counts[parameter] = self._counts.get(parameter, 0) + 1
        if count > self.passes:
            raise RuntimeError(
                f"the gradient of {self._names[parameter]} was computed {count} times before an "
                f"exchange; call step() or extrapolation() in between, or set backward_passes_per_step"
            )
        if (listener := self._listener()) is not None:
            listener(parameter, count == self.passes)


def _weakly(method: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
    """Returns a function that calls the bound method for as long as its object is in use."""
    reference = weakref.WeakMethod(method)

    def call(parameter: Tensor) -> None:
        if (alive := reference()) is not None:
            alive(parameter)

    return call
