"""Ends all ranks when a gradient is not finite, with the names of ranks and parameters."""

from collections.abc import Sequence
from typing import NoReturn

from compressors import Compressor
from hvd_qgenx.errors import NonFiniteGradientError, TrainingError
from hvd_qgenx.transport import Transport


def raise_not_finite(names: Sequence[str], compression: Compressor, transport: Transport, name: str) -> NoReturn:
    """Ends all ranks, whose gradients were not finite after an exchange. Collective.

    Args:
        names: parameters whose gradients were not finite on this rank before the exchange.
        compression: the compressor, for the message.
        transport: carries the names.
        name: names the collective; equal on all ranks.

    Raises:
        NonFiniteGradientError: a gradient held Inf or NaN on some rank.
        TrainingError: the gradients were finite on all ranks.
    """
    everyone = transport.all_gather_object(list(names), name)
    found = [f"rank {rank}: {_listing(theirs)}" for rank, theirs in enumerate(everyone) if theirs]
    if found:
        raise NonFiniteGradientError("Inf or NaN in a gradient on " + "; ".join(found))
    raise TrainingError(
        f"a gradient is too large for compressor {compression!r}: finite on every rank, not after the exchange"
    )


def _listing(names: list[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
