"""Agreement of all ranks, before work starts, that they can do the same work."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from typing import Any, TypeVar

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.background import in_background
from hvd_qgenx.transport.base import Transport

T = TypeVar("T")

KEEP_ALIVE_SECONDS = 0.5
"""Pause between two collectives of ranks that wait for others."""

Row = tuple[str, Any, Sequence[int]]
"""Something that ranks disagree on, a value of it, and the ranks that have this value."""


class DisagreementError(ConfigurationError):
    """Ranks were started with different settings or software."""

    def __init__(self, sentence: str, rows: Sequence[Row], hosts: Sequence[str]) -> None:
        """
        Args:
            sentence: what is wrong and what to do.
            rows: every value of every item.
            hosts: the host of every rank.
        """
        super().__init__(sentence)
        self.table = _table(rows, hosts)
        """The rows as plain text, with the hosts of the ranks."""


def on_all_ranks(transport: Transport, name: str, function: Callable[[], T]) -> T:
    """Calls ``function`` on every rank; if it fails on any, all ranks raise the same error. Collective.

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


def from_rank_0(transport: Transport, name: str, function: Callable[[], T]) -> T:
    """Calls ``function`` on rank 0 and returns its value on every rank, however long it takes. Collective.

    Raises:
        ConfigurationError: on all ranks, if it does on rank 0.
    """

    def find() -> T | ConfigurationError | None:
        try:
            return function() if transport.rank == 0 else None
        except ConfigurationError as error:
            return error

    outcome = transport.broadcast_object(with_keep_alive(transport, f"{name}.keep-alive", find), name)
    if isinstance(outcome, ConfigurationError):
        raise outcome
    found: T = outcome
    return found


def with_keep_alive(transport: Transport, name: str, function: Callable[[], T]) -> T:
    """Calls ``function`` on every rank, in a thread of its own, and returns when all are done. Collective.

    It may take long on some ranks, say to download a file: small collectives meanwhile show that they are alive.
    """
    if transport.size == 1:
        return function()
    future = in_background(function, name)
    done = False
    while not done:
        wait([future], KEEP_ALIVE_SECONDS)
        done = all(transport.all_gather_object(future.done(), name))
    return future.result()


def require_same(transport: Transport, values: Mapping[str, Any]) -> None:
    """Requires that all ranks were given the same values. Collective.

    Raises:
        DisagreementError: on all ranks, with the keys, the values and the ranks.
    """
    everyone = transport.all_gather_object((transport.host(), dict(values)), "configuration")
    if rows := differences([theirs for _, theirs in everyone]):
        raise DisagreementError(
            f"ranks disagree on the configuration: {items(rows)}; start all of them with the same options and data",
            rows,
            [host for host, _ in everyone],
        )


def require_size(size: int, expected: int | None) -> None:
    """Requires the number of ranks that was asked for; None accepts any.

    Raises:
        ConfigurationError: it is not.
    """
    if expected is not None and size != expected:
        raise ConfigurationError(wrong_size(size, expected))


def wrong_size(size: int, expected: int) -> str:
    """Returns the sentence for a wrong number of ranks."""
    return (
        f"expected {expected} ranks but there are {size}; "
        f"start with `horovodrun -np {expected}` and check the hosts and the MPI version"
    )


def differences(everyone: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Returns all values of the keys whose values differ between ranks; ``everyone[k]`` are the values of rank k."""
    rows: list[Row] = []
    for key in sorted(set().union(*everyone)):
        ranks: dict[str, list[int]] = {}
        for rank, theirs in enumerate(everyone):
            ranks.setdefault(str(theirs.get(key)), []).append(rank)
        if len(ranks) > 1:
            rows += [(key, value, having) for value, having in ranks.items()]
    return rows


def items(rows: Sequence[Row]) -> str:
    """Returns the items of rows, in words."""
    return ", ".join(dict.fromkeys(item for item, _, _ in rows))


def _table(rows: Sequence[Row], hosts: Sequence[str]) -> str:
    from rich.table import Table  # takes a while to import

    from hvd_qgenx.tables import drawn

    table = Table("", "value", "ranks", "hosts")
    shown = None
    for item, value, ranks in rows:
        names = dict.fromkeys(hosts[rank] for rank in ranks)
        table.add_row("" if item == shown else item, str(value), ", ".join(map(str, ranks)), ", ".join(names))
        shown = item
    return drawn(table, 110).rstrip("\n")
