"""Finding out together, before work starts, that all ranks can do the same work."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.base import Transport

T = TypeVar("T")


def together(transport: Transport, name: str, function: Callable[[], T]) -> T:
    """Calls ``function`` on every rank; where it fails on any, all ranks raise the same error.

    Raises:
        ConfigurationError: ``function`` raised one on some rank; ranks are named unless all failed alike.
    """
    result: T | None = None
    problem = None
    try:
        result = function()
    except ConfigurationError as error:
        problem = str(error)
    problems = transport.all_gather_object(problem, name)
    found = {rank: text for rank, text in enumerate(problems) if text is not None}
    if not found:
        return result  # type: ignore[return-value]
    if len(set(problems)) == 1:
        raise ConfigurationError(problems[0])
    raise ConfigurationError("; ".join(f"rank {rank}: {text}" for rank, text in found.items()))


def from_first(transport: Transport, name: str, function: Callable[[], T]) -> T:
    """What ``function`` returns on rank 0, on every rank. Collective.

    Raises:
        ConfigurationError: on all ranks, if it does on rank 0.
    """
    outcome: T | ConfigurationError | None = None
    if transport.rank == 0:
        try:
            outcome = function()
        except ConfigurationError as error:
            outcome = error
    outcome = transport.broadcast_object(outcome, name)
    if isinstance(outcome, ConfigurationError):
        raise outcome
    return outcome


def require_same(transport: Transport, values: Mapping[str, Any]) -> None:
    """All ranks must have been given the same values.

    Raises:
        ConfigurationError: on all ranks, naming the keys, the values and the ranks.
    """
    everyone = transport.all_gather_object(dict(values), "configuration")
    differences = []
    for key in sorted(set().union(*everyone)):
        ranks_by_value: dict[str, list[int]] = {}
        for rank, theirs in enumerate(everyone):
            ranks_by_value.setdefault(repr(theirs.get(key)), []).append(rank)
        if len(ranks_by_value) > 1:
            parts = [f"{value} on {_ranks(ranks)}" for value, ranks in ranks_by_value.items()]
            differences.append(f"{key} is {' but '.join(parts)}")
    if differences:
        raise ConfigurationError("ranks disagree on the configuration: " + "; ".join(differences))


def require_size(size: int, expected: int | None) -> None:
    """The number of ranks must be the one asked for; None accepts any.

    Raises:
        ConfigurationError: it is not.
    """
    if expected is not None and size != expected:
        raise ConfigurationError(
            f"expected {expected} ranks but there are {size}; "
            f"start with `horovodrun -np {expected}` and check the hosts and the MPI version"
        )


def _ranks(ranks: list[int]) -> str:
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))
