"""Torch's global generator, which all threads of a process share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_borrowing = threading.RLock()


@contextmanager
def borrowed(generator: torch.Generator | None = None) -> Iterator[None]:
    """Puts torch's global generator back to where it was, after what is drawn inside the context.

    Other threads that borrow it wait.

    Args:
        generator: whose numbers are drawn inside; None: the global generator's own.
    """
    with _borrowing:
        before = torch.get_rng_state()
        if generator is not None:
            torch.set_rng_state(generator.get_state())
        try:
            yield
        finally:
            if generator is not None:
                generator.set_state(torch.get_rng_state())
            torch.set_rng_state(before)
