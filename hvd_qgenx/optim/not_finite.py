"""Ends all ranks when a gradient is not finite, with the names of ranks and parameters."""

from collections.abc import Sequence
from typing import NoReturn

from compressors import Compressor
from hvd_qgenx.errors import DivergenceError, NonFiniteGradientError


def raise_not_finite(everyone: Sequence[Sequence[str]], compression: Compressor) -> NoReturn:
    """Ends all ranks, whose gradients were not finite after an exchange.

    Args:
        everyone: for every rank the parameters whose gradients were not finite before the exchange.
        compression: the compressor, for the message.

    Raises:
        NonFiniteGradientError: a gradient held Inf or NaN on some rank.
        DivergenceError: the gradients were finite on all ranks.
    """
    found = [f"rank {rank}: {listing(theirs)}" for rank, theirs in enumerate(everyone) if theirs]
    if found:
        raise NonFiniteGradientError("Inf or NaN in a gradient on " + "; ".join(found))
    raise DivergenceError(
        f"a gradient is too large for compressor {compression!r}: finite on every rank, not after the exchange"
    )


def listing(names: Sequence[str], most: int = 3) -> str:
    """Returns names, the first few if there are many."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
