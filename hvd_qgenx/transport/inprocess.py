"""Ranks as threads of one process, without MPI.

They share what belongs to the process: torch's, NumPy's and Python's global generators, so ``torch.manual_seed`` on one
rank seeds them all, and who draws first is a matter of chance. Every rank has a ``generator`` of its own.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

import torch
from torch import Tensor

from compressors import random
from hvd_qgenx.generators import borrowed
from hvd_qgenx.transport.base import Transport, Work, require_sizes
from hvd_qgenx.transport.cores import shared_by_threads

log = logging.getLogger(__name__)

T = TypeVar("T")


SEEDED = (
    "a rank has seeded torch's global generator, which all ranks share, since they are threads: the numbers they draw"
    " are neither their own nor the same every time; draw with generator=transport.generator, or in transport.drawing()"
)


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
        self,
        rank: int = 0,
        hosts: Sequence[int] = (0,),
        rendezvous: Rendezvous | None = None,
        path: Any = (),
        generator: torch.Generator | None = None,
    ) -> None:
        """
        Args:
            rank: of this thread within the group.
            hosts: the number of the host of every rank of the group.
            rendezvous: shared by all threads of ``run``.
            path: tells this group from others that use the rendezvous.
            generator: of this rank's own random numbers; None for that of seed 0.
        """
        super().__init__()
        self.generator = generator or random.generator(0, rank)
        """Random numbers that this rank alone draws: a function of the seed given to ``run`` and of the rank."""
        self._places, self._rendezvous, self._path = hosts, rendezvous or Rendezvous(), path
        self.rank, self.size = rank, len(hosts)
        self.local_rank = sum(host == hosts[rank] for host in hosts[:rank])
        self.local_size = sum(host == hosts[rank] for host in hosts)
        self._rounds: Counter[str] = Counter()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Makes torch draw from ``generator`` inside the context: for layers and the like, which take no generator.

        Other ranks wait to do the same, so no collective may be called inside.
        """
        with borrowed(self.generator):
            yield

    def all_reduce_mean(self, tensor: Tensor, name: str, out: Tensor | None = None) -> Work[Tensor]:
        collect, mean = self._share(tensor.clone(), name), tensor if out is None else out

        def wait() -> Tensor:
            scale, parts = 1 / self.size, collect()
            if tensor.dtype == torch.float16:
                return sum_in_order((part * scale for part in parts), mean)
            return sum_in_order(parts, mean).mul_(scale)

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
        path = (*self._path, tuple(group))
        return InProcess(group.index(self.rank), hosts, self._rendezvous, path, self.generator)

    def _share(self, value: Any, name: str) -> Callable[[], list[Any]]:
        key = (name, (self._path, self._number(name)))
        self._rendezvous.put(key, self.rank, value)
        return lambda: self._rendezvous.collect(key, self.size)

    def _number(self, name: str) -> int:
        """Returns which use of the name this is; every rank counts every collective that has it."""
        self._rounds[name] += 1
        return self._rounds[name]


def sum_in_order(parts: Iterable[Tensor], out: Tensor | None = None) -> Tensor:
    """Returns ((p0 + p1) + p2) + ..., in ``out`` if it is given: the same bits on every rank."""
    remaining = iter(parts)
    first = next(remaining)
    total = first.clone() if out is None else out.copy_(first)
    for part in remaining:
        total += part
    return total


def run(size: int, function: Callable[[InProcess], T], hosts: int = 1, *, seed: int = 0) -> list[T]:
    """Calls ``function(transport)`` on ``size`` ranks at once and returns the results in rank order.

    The ranks count as spread over ``hosts`` hosts in rank order, as evenly as can be. The first exception
    of a rank stops all ranks and is raised here; so does one that a signal raises in the caller's thread.

    Ranks are threads, which share torch's global generator: instead of seeding it, draw from
    ``transport.generator``, which ``seed`` and the rank decide, or inside ``transport.drawing()``.
    A warning says if a rank has seeded it all the same. Each rank has an equal share of torch's threads, or as many as
    ``OMP_NUM_THREADS`` says.

    Examples:
        >>> def mean_of_ranks(transport: InProcess) -> float:
        ...     own = torch.tensor([float(transport.rank)])
        ...     return transport.all_reduce_mean(own, "ranks").wait().item()
        >>> run(4, mean_of_ranks)
        [1.5, 1.5, 1.5, 1.5]
    """
    rendezvous = Rendezvous()
    places = [rank * hosts // size for rank in range(size)]
    results: list[Any] = [None] * size
    errors: list[BaseException | None] = [None] * size
    seeded = torch.initial_seed()
    ended: SimpleQueue[None] = SimpleQueue()  # a thread whose join a signal interrupts would count as ended

    def work(rank: int, threads: int) -> None:
        try:
            torch.set_num_threads(threads)
            results[rank] = function(InProcess(rank, places, rendezvous, (), random.generator(seed, rank)))
        except BaseException as error:
            errors[rank] = error
            rendezvous.fail()
        finally:
            ended.put(None)

    try:
        with shared_by_threads(size) as threads:
            for rank in range(size):
                threading.Thread(target=work, args=(rank, threads), name=f"rank {rank}").start()
            for _ in range(size):
                ended.get()
    except BaseException:  # Ctrl-C, say: the ranks end at their next collective
        rendezvous.fail()
        raise
    raised = [error for error in errors if error is not None]
    if raised:
        raise next((error for error in raised if not isinstance(error, PeerFailedError)), raised[0])
    if size > 1 and torch.initial_seed() != seeded:
        log.warning(SEEDED)
    return results
