"""Ranks as threads of one process: the same code above it, no MPI."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from hvd_qgenx.transport.base import Transport, Work

T = TypeVar("T")


class PeerFailedError(RuntimeError):
    """Another rank raised; its own exception is the one to read."""


class Meeting:
    """Where the ranks of one group lay down values and pick up everybody's."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._tables: dict[Any, dict[int, Any]] = {}
        self._left: dict[Any, int] = {}
        self._changed = threading.Condition()
        self._failed = False

    def lay_down(self, key: Any, rank: int, value: Any) -> None:
        with self._changed:
            table = self._tables.setdefault(key, {})
            if rank in table:
                raise RuntimeError(f"rank {rank} used the name {key[0]!r} twice at once")
            table[rank] = value
            if len(table) == self.size:
                self._changed.notify_all()

    def pick_up(self, key: Any) -> list[Any]:
        """Everybody's values in rank order, once all have come."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or len(self._tables[key]) == self.size)
            if self._failed:
                raise PeerFailedError("another rank failed")
            values = [self._tables[key][rank] for rank in range(self.size)]
            self._left[key] = self._left.get(key, 0) + 1
            if self._left[key] == self.size:
                del self._tables[key], self._left[key]
            return values

    def fail(self) -> None:
        with self._changed:
            self._failed = True
            self._changed.notify_all()


class InProcess(Transport):
    """One rank among the threads that ``run`` starts. Sums are taken in rank order."""

    def __init__(self, rank: int = 0, meeting: Meeting | None = None) -> None:
        super().__init__()
        self._meeting = meeting or Meeting(1)
        self.rank, self.size = rank, self._meeting.size
        self.local_rank, self.local_size = self.rank, self.size
        self._rounds: dict[str, int] = {}

    def all_reduce_mean(self, tensor: Tensor, name: str) -> Work[Tensor]:
        collect = self._share(tensor.clone(), name)

        def wait() -> Tensor:
            scale = 1 / self.size
            if tensor.dtype == torch.float16:
                return sum_in_order([part * scale for part in collect()])
            return sum_in_order(collect()) * scale

        return Work(wait, self._ring_bytes(tensor))

    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        return Work(self._share(tensor.clone(), name), self._gather_bytes(tensor, sizes))

    def all_to_all(self, tensors: Sequence[Tensor], name: str) -> Work[list[Tensor]]:
        collect = self._share([tensor.clone() for tensor in tensors], name)
        return Work(lambda: [sent_by[self.rank] for sent_by in collect()], self._scatter_bytes(tensors))

    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        return self._share(value, name)()

    def _share(self, value: Any, name: str) -> Callable[[], list[Any]]:
        self._rounds[name] = self._rounds.get(name, 0) + 1
        key = (name, self._rounds[name])
        self._meeting.lay_down(key, self.rank, value)
        return lambda: self._meeting.pick_up(key)


def sum_in_order(parts: Sequence[Tensor]) -> Tensor:
    """((p0 + p1) + p2) + ...: the same bits on every rank."""
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def run(size: int, function: Callable[[InProcess], T]) -> list[T]:
    """Calls ``function(transport)`` on ``size`` ranks at once and returns the results in rank order.

    The first exception of a rank stops all ranks and is raised here.
    """
    meeting = Meeting(size)
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size

    def work(rank: int) -> None:
        try:
            results[rank] = function(InProcess(rank, meeting))
        except BaseException as error:
            errors[rank] = error
            meeting.fail()

    threads = [threading.Thread(target=work, args=(rank,), name=f"rank {rank}") for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raised = [error for error in errors if error is not None]
    if raised:
        raise next((error for error in raised if not isinstance(error, PeerFailedError)), raised[0])
    return results
