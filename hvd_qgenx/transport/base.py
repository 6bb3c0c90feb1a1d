"""The collectives that everything above is written in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from compressors import kernels
from compressors.deferred import Deferred
from hvd_qgenx import plugins

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")

T = TypeVar("T")

LENGTH_BYTES = 8
"""Bytes of the length in front of a tensor whose length only its rank knows."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """A collective under way."""

    wait: Callable[[], T]
    """Blocks until it is done and returns the result; to be called once."""
    bytes_sent: int
    """Bytes this rank sends over the network for it; its own share, which stays, is left out."""


@dataclass(frozen=True)
class Blocks:
    """The places of a collective's messages in a buffer of uint8, made once for all its repetitions."""

    rank: int
    """This rank's; its own message stays where it is."""
    sent: Sequence[tuple[int, int]]
    """Begin and end of the message for every rank."""
    received: Sequence[tuple[int, int]]
    """Begin and end of the message from every rank."""
    one: bool = False
    """Do all ranks get the same message?"""

    @cached_property
    def leaving(self) -> list[tuple[int, int, int]]:
        """Rank, begin and end of every message to another rank, in the order in which they are sent."""
        peers = [(self.rank + step) % len(self.sent) for step in range(1, len(self.sent))]
        return [(peer, *self.sent[peer]) for peer in peers]

    @cached_property
    def arriving(self) -> list[tuple[int, int, int]]:
        """The same of every message from another rank."""
        return [(peer, *self.received[peer]) for peer, _, _ in reversed(self.leaving)]

    @cached_property
    def bytes_sent(self) -> int:
        """Bytes of the messages to other ranks."""
        return sum(stop - start for _, start, stop in self.leaving)


class Transport(ABC):
    """One rank's view of a group of ranks.

    Every collective takes a name that is the same on all ranks and not in use by another
    collective of this transport under way: Horovod matches unnamed ones by order and then mixes
    tensors silently. Names may be used again later. Tensors are contiguous, and belong to the
    collective until it has been waited for; the tensors it returns may be views of one buffer,
    and what a rank keeps for itself may be a view of what it handed over.
    """

    rank: int
    size: int
    local_rank: int
    """Number of this rank among the ranks of its host."""
    local_size: int
    """Number of ranks on this host."""
    shares_memory: bool = False
    """Are the ranks threads of one process, which get the objects of others themselves instead of copies?"""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._hosts: dict[str, list[int]] | None = None
        self._levels: tuple[Transport | None, Transport | None] | None = None

    @abstractmethod
    def all_reduce_mean(self, tensor: Tensor, name: str, out: Tensor | None = None) -> Work[Tensor]:
        """Puts the mean over ranks of a float tensor, in its own dtype, into ``out``, or into itself; returns that.

        fp16 is divided before it is added, so that the sum of finite values stays finite.
        Sends 2 (K - 1) / K of the buffer: a ring.
        """

    @abstractmethod
    def all_reduce_sum(self, tensor: Tensor, name: str) -> Work[Tensor]:
        """Returns the sum over ranks of an int32 tensor; it must fit. Sends 2 (K - 1) / K of the buffer: a ring."""

    @abstractmethod
    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        """Gathers the 1-D tensors of all ranks, in rank order; ``sizes[k]`` is the length of rank k's.

        Without ``sizes`` the tensors are uint8 and each carries its own length (8 bytes) in front.
        """

    @abstractmethod
    def all_to_all(
        self, tensor: Tensor, sizes: Sequence[int], name: str, received: Sequence[int] | None = None
    ) -> Work[list[Tensor]]:
        """Sends every rank its part of a 1-D tensor; returns what this rank received, in rank order.

        Args:
            tensor: the parts for rank 0, 1, ... end to end.
            sizes: their lengths; they add up to the length of ``tensor``.
            name: names the collective.
            received: the lengths of what the ranks will send to this one, where it knows them;
                given on all ranks or on none.
        """

    def exchange_blocks(self, buffer: Tensor, blocks: Blocks, name: str) -> Work[None]:
        """Sends every rank its block of a 1-D uint8 buffer, and receives into others; nothing else of it changes."""
        parts = [buffer[start:stop] for start, stop in blocks.sent]
        sizes = [stop - start for start, stop in blocks.received]
        if blocks.one:
            work = self.all_gather(parts[self.rank], sizes, name)
        else:
            work = self.all_to_all(torch.cat(parts), list(map(len, parts)), name, sizes)

        def wait() -> None:
            received = work.wait()
            for rank, start, stop in blocks.arriving:
                buffer[start:stop] = received[rank]

        return Work(wait, work.bytes_sent)

    def neighbour_exchange(
        self,
        sent: Mapping[int, Tensor],
        heard: Sequence[int],
        sizes: Sequence[int] | None,
        name: str,
        like: Tensor | None = None,
    ) -> Work[dict[int, Tensor]]:
        """Sends 1-D tensors to some ranks; returns what this rank hears, by sender, in the order of ``heard``.

        All ranks call it, in the same order, and rank i sends to rank j exactly if j hears i. Only ranks with such
        a link wait for each other, except over Horovod's own collectives, where all wait for all; a rank may have
        no links. The tensors received must not be changed: ranks may share them.

        Args:
            sent: the tensor for each rank that hears this one; one tensor may stand for several ranks.
            heard: the ranks that send to this one.
            sizes: the lengths of what they send. None, on all ranks or on none: the tensors are uint8 and each
                carries its own length (8 bytes) in front.
            name: names the collective.
            like: a tensor of the dtype and on the device of all that is sent, for a rank that sends nothing itself;
                by default uint8 in host memory.

        Raises:
            ValueError: a link is with this rank itself or with a missing rank, or a tensor is not as required.
        """
        heard = tuple(heard)
        if like is None:
            like = next(iter(sent.values())) if sent else torch.empty(0, dtype=torch.uint8)
        if problem := self._link_problem(sent, heard, sizes, like):
            raise ValueError(f"{name}: {problem}")
        wait = self._start_links(sent, heard, sizes, name, like)
        header = LENGTH_BYTES if sizes is None else 0
        sent_bytes = sum(tensor.nbytes + header for tensor in sent.values())
        return Work(lambda: dict(zip(heard, wait(), strict=True)), sent_bytes)

    @abstractmethod
    def _start_links(
        self, sent: Mapping[int, Tensor], heard: Sequence[int], sizes: Sequence[int] | None, name: str, like: Tensor
    ) -> Callable[[], list[Tensor]]:
        """Starts a ``neighbour_exchange``; returns a function that waits for the tensors of ``heard``, in order."""

    @abstractmethod
    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        """Returns the values of all ranks, in rank order; ``objects`` says which can be sent."""

    @abstractmethod
    def host(self) -> str:
        """Returns the name of this rank's host; ranks have the same name exactly if they share a host."""

    @abstractmethod
    def _split(self, groups: Sequence[Sequence[int]]) -> Transport | None:
        """Makes the group, of a partition of all ranks, that contains this rank; None if it cannot. Collective."""

    def hosts(self) -> list[list[int]]:
        """The ranks of every host, in order of their first rank. Collective when first called."""
        return list(self.named_hosts().values())

    def named_hosts(self) -> dict[str, list[int]]:
        """The same by the names of hosts. Collective when first called, or ``hosts``."""
        if self._hosts is None:
            ranks: dict[str, list[int]] = {}
            for rank, host in enumerate(self.all_gather_object(self.host(), "hosts")):
                ranks.setdefault(host, []).append(rank)
            self._hosts = ranks
        return self._hosts

    def local(self) -> Transport | None:
        """Returns the group of the ranks of this host; rank k of it has local rank k.

        None unless there are several hosts with as many ranks, more than one, on each, and groups can be
        made. Collective when ``local`` or ``across`` is first called; later calls return the same object.
        """
        return self._two_levels()[0]

    def across(self) -> Transport | None:
        """Returns the group of the ranks that have this local rank, one on every host; None where ``local`` is."""
        return self._two_levels()[1]

    def ordered(self, name: str) -> Transport:
        """Returns the transport for large collectives that all ranks start in the same order, each from one thread.

        Collective. ``name`` tells apart the transports of several users.
        """
        return self

    def broadcast_object(self, value: Any, name: str) -> Any:
        """Returns rank 0's value."""
        return self.all_gather_object(value if self.rank == 0 else None, name)[0]

    def unique(self, name: str) -> str:
        """Returns ``name`` with a number of its own; equal on ranks that make the same calls in the same order."""
        self._numbers[name] += 1
        return f"{name}.{self._numbers[name]}"

    def optimizer_bases(self) -> tuple[type, ...]:
        """Returns classes that a distributed optimizer made for this transport also derives from."""
        return ()

    def versions(self) -> dict[str, str]:
        """Returns versions of the software that a run's outcome may depend on."""
        import platform

        return {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("hvd-qgenx", "torch", "numpy", "numba")},
            "kernels": kernels.implementation(torch.device("cpu")),
            **plugins.versions(),
        }

    def _two_levels(self) -> tuple[Transport | None, Transport | None]:
        if self._levels is None:
            hosts = self.hosts()
            even = len(hosts) > 1 and len(hosts[0]) > 1 and len({len(ranks) for ranks in hosts}) == 1
            columns = [list(column) for column in zip(*hosts, strict=False)]
            self._levels = (self._split(hosts), self._split(columns)) if even else (None, None)
        return self._levels

    def _gather_bytes(self, tensor: Tensor, sizes: Sequence[int] | None) -> int:
        return (self.size - 1) * (tensor.nbytes + (LENGTH_BYTES if sizes is None else 0))

    def _scatter_bytes(self, tensor: Tensor, sizes: Sequence[int]) -> int:
        return (len(tensor) - sizes[self.rank]) * tensor.itemsize

    def _link_problem(
        self, sent: Mapping[int, Tensor], heard: Sequence[int], sizes: Sequence[int] | None, like: Tensor
    ) -> str | None:
        """Returns what is wrong with the arguments of ``neighbour_exchange``; None if nothing is."""
        for rank in (*sent, *heard):
            if rank == self.rank or not 0 <= rank < self.size:
                return f"rank {self.rank} of {self.size} cannot have a link with rank {rank}"
        if len(set(heard)) < len(heard):
            return f"a rank is heard twice: {list(heard)}"
        if sizes is not None and (len(sizes) != len(heard) or min(sizes, default=0) < 0):
            return f"there must be one length for each of the ranks {list(heard)}, not {list(sizes)}"
        for tensor in sent.values():
            if tensor.dtype != like.dtype or tensor.device != like.device:
                return f"tensors of {tensor.dtype} on {tensor.device} and of {like.dtype} on {like.device} are mixed"
            if tensor.dim() != 1 or not tensor.is_contiguous():
                return f"a tensor must be contiguous and 1-D, not of shape {tuple(tensor.shape)}"
        if sizes is None and like.dtype != torch.uint8:
            return f"a tensor whose length is not known must be uint8, not {like.dtype}"
        return None

    def _ring_bytes(self, tensor: Tensor) -> int:
        return 2 * (self.size - 1) * tensor.nbytes // self.size


def require_sizes(parts: Sequence[Tensor], sizes: Sequence[int] | None, name: str) -> None:
    """Raises ValueError if tensors that a collective received have other lengths than were announced."""
    if sizes is not None and (found := [len(part) for part in parts]) != list(sizes):
        raise ValueError(f"{name}: received {found} elements, not {list(sizes)}")


def _version(package: str) -> str:
    from importlib import metadata  # takes a while to import

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"
