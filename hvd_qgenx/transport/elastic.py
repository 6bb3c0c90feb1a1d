"""Ranks that come and go: training begins anew with those that are there, from what all had agreed on."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from horovod.common.elastic import State
from horovod.torch.elastic import run

from hvd_qgenx.transport.base import Transport
from hvd_qgenx.transport.horovod import Horovod, forget_process_sets

T = TypeVar("T")


class Committed(State):  # type: ignore[misc]
    """What training goes on from when ranks have come or gone; the same on all ranks.

    Horovod's State: a rank that is lost costs what was done since the last commit. Nothing is ever put
    back into objects that are in use, since training begins anew, from ``value``, with new ones.
    """

    def __init__(self) -> None:
        super().__init__(bcast_object=_numbers_from_first, get_rank=None)
        self.value: Any = None
        """None before the first commit."""

    def put(self, value: Any) -> None:
        """Commits a value, which nobody changes any more. Collective.

        Raises:
            HostsUpdatedInterrupt: on all ranks, if hosts have come or are to go; for ``elastic``.
        """
        self.value = value
        self.check_host_updates()

    def restore(self) -> None:
        """Called after a rank was lost."""

    def sync(self) -> None:
        """Gives rank 0's value to all: rank 0 is never a new one."""
        self.value = _from_first(self.value)

    def reset(self) -> None:
        """Called after Horovod was started again."""
        forget_process_sets()


def elastic(train: Callable[[Transport, Committed], T]) -> T:
    """Calls ``train`` on all ranks, and again with what was committed whenever ranks have come or gone."""
    Horovod()  # which sets the environment, then starts
    result: T = run(lambda committed: train(Horovod(), committed))(Committed())
    return result


def _numbers_from_first(numbers: Iterable[int]) -> list[int]:
    """Of the news of hosts: times, and what has happened (which is a number of a class of Horovod's)."""
    found: list[int] = _from_first([int(number) for number in numbers])
    return found


def _from_first(value: Any) -> Any:
    return Horovod().broadcast_object(value, "committed")
