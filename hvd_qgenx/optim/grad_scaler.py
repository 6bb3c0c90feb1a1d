"""Gradients are exchanged before torch's ``GradScaler`` looks at them.

A scaler divides gradients by its scale and looks for Inf and NaN, then skips the step or takes it, and changes its
scale. Means have the same bits on all ranks, so all ranks decide alike; by their own gradients they would not.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch.amp.grad_scaler import GradScaler


@runtime_checkable
class Exchanging(Protocol):
    """An optimizer whose gradients must be exchanged first."""

    def exchange_for_scaler(self) -> None:
        """Replaces gradients by their means, unless that has been done; Inf and NaN are left for the scaler."""


def install() -> None:
    """Lets all scalers of this process exchange the gradients of ``Exchanging`` optimizers first."""
    if not hasattr(GradScaler._unscale_grads_, "exchanges"):
        GradScaler._unscale_grads_ = _exchanging(GradScaler._unscale_grads_)  # type: ignore[method-assign]


def _exchanging(unscale: Callable[..., Any]) -> Callable[..., Any]:
    """Returns ``_unscale_grads_``, by which all methods of a scaler look at gradients, with an exchange before it."""

    @functools.wraps(unscale)
    def exchange_and_unscale(scaler: GradScaler, optimizer: Any, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(optimizer, Exchanging):
            optimizer.exchange_for_scaler()
        return unscale(scaler, optimizer, *arguments, **keywords)

    exchange_and_unscale.exchanges = True  # type: ignore[attr-defined]
    return exchange_and_unscale
