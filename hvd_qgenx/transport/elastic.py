"""Elastic training: whenever ranks come or go, it restarts with the ranks there are, from the last commit."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from horovod.common.elastic import State
from horovod.torch.elastic import run

from hvd_qgenx.transport.base import Transport
from hvd_qgenx.transport.horovod import Horovod, forget_process_sets

T = TypeVar("T")


class Committed(State):  # type: ignore[misc]
    """The state that training continues from when ranks have come or gone; the same on all ranks.

    Horovod's State: a lost rank costs the work since the last commit. Objects in use are never restored:
    training restarts from ``value`` with new ones.
    """

    def __init__(self) -> None:
        super().__init__(bcast_object=_numbers_from_rank_0, get_rank=None)
        self.value: Any = None
        """None before the first commit."""

    def put(self, value: Any) -> None:
        """Commits a value, which must not be changed any more. Collective.

        Raises:
            HostsUpdatedInterrupt: on all ranks, if hosts have come or are to go; ``elastic`` handles it.
        """
        self.value = value
        self.check_host_updates()

    def restore(self) -> None:
        """Called after a rank was lost."""

    def sync(self) -> None:
        """Broadcasts the value of rank 0, which is never a new rank."""
        self.value = _from_rank_0(self.value)

    def reset(self) -> None:
        """Called after Horovod was started again."""
        forget_process_sets()


def elastic(train: Callable[[Transport, Committed], T]) -> T:
    """Calls ``train`` on all ranks, and again with what was committed whenever ranks have come or gone."""
    Horovod()  # sets the environment before Horovod starts
    result: T = run(lambda committed: train(Horovod(), committed))(Committed())
    return result


def _numbers_from_rank_0(numbers: Iterable[int]) -> list[int]:
    """Broadcasts Horovod's news of hosts: times, and kinds of change (members of one of its enumerations)."""
    found: list[int] = _from_rank_0([int(number) for number in numbers])
    return found


def _from_rank_0(value: Any) -> Any:
    return Horovod().broadcast_object(value, "committed")
