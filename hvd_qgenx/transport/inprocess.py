"""Ranks as threads of one process, without MPI."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from torch import Tensor

from hvd_qgenx.transport.base import Transport, Work, require_sizes

T = TypeVar("T")


class PeerFailedError(RuntimeError):
    """Another rank raised an exception, which ``run`` raises in place of this one."""


class Rendezvous:
    """A shared table where every rank puts its values and collects the values of all."""

    def __init__(self) -> None:
        self._tables: dict[Any, dict[int, Any]] = {}
        self._left: Counter[Any] = Counter()
        self._changed = threading.Condition()
        self._failed = False

    def put(self, key: tuple[str, Any], rank: int, value: Any) -> None:
        """Stores the value of a rank.

        Raises:
            RuntimeError: the rank has put a value for this key already.
        """
        with self._changed:
            table = self._tables.setdefault(key, {})
            if rank in table:
                raise RuntimeError(f"rank {rank} used the name {key[0]!r} twice at once")
            table[rank] = value
            self._changed.notify_all()

    def collect(self, key: tuple[str, Any], size: int) -> list[Any]:
        """Waits for, and returns, the values of ranks 0 to ``size`` - 1.

        Raises:
            PeerFailedError: another rank failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failed or len(self._tables[key]) == size)
            if self._failed:
                raise PeerFailedError("another rank failed")
            values = [self._tables[key][rank] for rank in range(size)]
            self._left[key] += 1
            if self._left[key] == size:
                del self._tables[key], self._left[key]
            return values

    def take(self, key: tuple[str, Any], rank: int) -> Any:
        """Waits for, removes and returns the value of one rank.

        Raises:
            PeerFailedError: another rank failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._failed or rank in self._tables.get(key, ()))
            if self._failed:
                raise PeerFailedError("another rank failed")
            value = self._tables[key].pop(rank)
            if not self._tables[key]:
                del self._tables[key]
            return value

    def fail(self) -> None:
        """Ends the waiting of all ranks."""
        with self._changed:
            self._failed = True
            self._changed.notify_all()


class InProcess(Transport):
    """One rank among the threads that ``run`` starts. Sums are taken in rank order."""

    shares_memory = True

    def __init__(
        self, rank: int = 0, hosts: Sequence[int] = (0,), rendezvous: Rendezvous | None = None, path: Any = ()
    ) -> None:
        """
        Args:
            rank: of this thread within the group.
            hosts: the number of the host of every rank of the group.
            rendezvous: shared by all threads of ``run``.
            path: tells this group from others that use the rendezvous.
        """
        super().__init__()
        self._places, self._rendezvous, self._path = hosts, rendezvous or Rendezvous(), path
        self.rank, self.size = rank, len(hosts)
        self.local_rank = sum(host == hosts[rank] for host in hosts[:rank])
        self.local_size = sum(host == hosts[rank] for host in hosts)
        self._rounds: Counter[str] = Counter()

    def all_reduce_mean(self, tensor: Tensor, name: str, out: Tensor | None = None) -> Work[Tensor]:
        collect, mean = self._share(tensor.clone(), name), tensor if out is None else out

        def wait() -> Tensor:
            scale = 1 / self.size
            if tensor.dtype == torch.float16:
                return mean.copy_(sum_in_order([part * scale for part in collect()]))
            return mean.copy_(sum_in_order(collect()) * scale)

        return Work(wait, self._ring_bytes(tensor))

    def all_reduce_sum(self, tensor: Tensor, name: str) -> Work[Tensor]:
        collect = self._share(tensor.clone(), name)
        return Work(lambda: sum_in_order(collect()), self._ring_bytes(tensor))

    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        return Work(self._share(tensor.clone(), name), self._gather_bytes(tensor, sizes))

    def all_to_all(
        self, tensor: Tensor, sizes: Sequence[int], name: str, received: Sequence[int] | None = None
    ) -> Work[list[Tensor]]:
        collect = self._share(tensor.clone().split(list(sizes)), name)

        def wait() -> list[Tensor]:
            parts = [sent_by[self.rank] for sent_by in collect()]
            require_sizes(parts, received, name)
            return parts

        return Work(wait, self._scatter_bytes(tensor, sizes))

    def _start_links(
        self, sent: Mapping[int, Tensor], heard: Sequence[int], sizes: Sequence[int] | None, name: str, like: Tensor
    ) -> Callable[[], list[Tensor]]:
        number = self._number(name)
        copies: dict[int, Tensor] = {}
        for rank, tensor in sent.items():
            if id(tensor) not in copies:
                copies[id(tensor)] = tensor.clone()
            self._rendezvous.put((name, (self._path, number, rank)), self.rank, copies[id(tensor)])

        def wait() -> list[Tensor]:
            key = (name, (self._path, number, self.rank))
            parts = [self._rendezvous.take(key, rank) for rank in heard]
            require_sizes(parts, sizes, name)
            return parts

        return wait

    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        return self._share(value, name)()

    def host(self) -> str:
        return f"host {self._places[self.rank]}"

    def _split(self, groups: Sequence[Sequence[int]]) -> "InProcess":
        group = next(group for group in groups if self.rank in group)
        hosts = [self._places[rank] for rank in group]
        return InProcess(group.index(self.rank), hosts, self._rendezvous, (*self._path, tuple(group)))

    def _share(self, value: Any, name: str) -> Callable[[], list[Any]]:
        key = (name, (self._path, self._number(name)))
        self._rendezvous.put(key, self.rank, value)
        return lambda: self._rendezvous.collect(key, self.size)

    def _number(self, name: str) -> int:
        """Returns which use of the name this is; every rank counts every collective that has it."""
        self._rounds[name] += 1
        return self._rounds[name]


def sum_in_order(parts: Sequence[Tensor]) -> Tensor:
    """Returns ((p0 + p1) + p2) + ...: the same bits on every rank."""
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


def run(size: int, function: Callable[[InProcess], T], hosts: int = 1) -> list[T]:
    """Calls ``function(transport)`` on ``size`` ranks at once and returns the results in rank order.

    The ranks count as spread over ``hosts`` hosts in rank order, as evenly as can be. The first exception
    of a rank stops all ranks and is raised here; so does one that a signal raises in the caller's thread.
    """
    rendezvous = Rendezvous()
    places = [rank * hosts // size for rank in range(size)]
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size
    ended: SimpleQueue[None] = SimpleQueue()  # a thread whose join a signal interrupts would count as ended

    def work(rank: int) -> None:
        try:
            results[rank] = function(InProcess(rank, places, rendezvous))
        except BaseException as error:
            errors[rank] = error
            rendezvous.fail()
        finally:
            ended.put(None)

    try:
        for rank in range(size):
            threading.Thread(target=work, args=(rank,), name=f"rank {rank}").start()
        for _ in range(size):
            ended.get()
    except BaseException:  # Ctrl-C, say: the ranks end at their next collective
        rendezvous.fail()
        raise
    raised = [error for error in errors if error is not None]
    if raised:
        raise next((error for error in raised if not isinstance(error, PeerFailedError)), raised[0])
    return results
