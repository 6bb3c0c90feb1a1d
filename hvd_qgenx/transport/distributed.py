"""Ranks as processes of torch.distributed, which torchrun and other launchers start."""

import functools
import math
import socket
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import objects
from hvd_qgenx.transport.background import in_background
from hvd_qgenx.transport.base import Transport, Work
from hvd_qgenx.transport.environment import GLOO_INTERFACE
from hvd_qgenx.transport.failures import PeerLostError
from hvd_qgenx.transport.inprocess import sum_in_order
from hvd_qgenx.transport.launcher import stall_limit
from hvd_qgenx.transport.links import Waiting, start_all
from hvd_qgenx.transport.reachable import check_hosts

FOREVER = timedelta(days=365)
EAGER_BYTES = 1 << 18
"""Messages up to this size let their sender go on before they are received."""
LEFT_BEHIND = 256
"""Number of them that a rank may be ahead."""
TAG_BITS = 0x7FFFFFFF
"""Gloo's tags are int32 and not negative."""


Request: TypeAlias = tuple[int, Any]
"""The number, among all, of the rank at the other end of a message, and the message under way."""
Arriving: TypeAlias = tuple[list[Tensor], list[Request]]
"""The tensors that ranks send to this one, and their messages."""


@dataclass(frozen=True)
class World:
    """All processes, and the group of torch.distributed's that carries their messages."""

    group: dist.ProcessGroup
    hosts: tuple[str, ...]
    """Name of the host of every rank."""


class Distributed(Transport):
    """The ranks of torch.distributed, or some of them; torch.distributed is initialized if need be.

    All collectives are made of messages between two ranks, over gloo, so that ranks may start them in different
    orders. Sums are taken in rank order: they have the bits of ranks that are threads. Tensors on a GPU travel
    through host memory.
    """

    def __init__(self, ranks: Sequence[int] | None = None) -> None:
        """
        Args:
            ranks: the numbers that the ranks of this group have among all; None: all. A group that does not contain
                this process cannot be made.

        Raises:
            ConfigurationError: the processes cannot reach each other.
        """
        super().__init__()
        self._world = world()
        self._ranks = tuple(range(len(self._world.hosts)) if ranks is None else ranks)
        self._numbers = _numbers[self._ranks]
        self.rank, self.size = self._ranks.index(dist.get_rank()), len(self._ranks)
        hosts = [self._world.hosts[rank] for rank in self._ranks]
        self.local_rank, self.local_size = hosts[: self.rank].count(self.host()), hosts.count(self.host())

    def all_reduce_mean(self, tensor: Tensor, name: str, out: Tensor | None = None) -> Work[Tensor]:
        scale, mean = 1 / self.size, tensor if out is None else out

        def average(parts: Sequence[Tensor]) -> Tensor:
            if tensor.dtype == torch.float16:
                return sum_in_order([part * scale for part in parts])
            return sum_in_order(parts) * scale

        return Work(self._all_reduce(tensor, average, mean, name), self._ring_bytes(tensor))

    def all_reduce_sum(self, tensor: Tensor, name: str) -> Work[Tensor]:
        return Work(self._all_reduce(tensor, sum_in_order, torch.empty_like(tensor), name), self._ring_bytes(tensor))

    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        return Work(self._to_all([tensor] * self.size, sizes, name), self._gather_bytes(tensor, sizes))

    def all_to_all(
        self, tensor: Tensor, sizes: Sequence[int], name: str, received: Sequence[int] | None = None
    ) -> Work[list[Tensor]]:
        wait = self._to_all(tensor.split(list(sizes)), received, name)
        return Work(wait, self._scatter_bytes(tensor, sizes))

    def _start_links(
        self, sent: Mapping[int, Tensor], heard: Sequence[int], sizes: Sequence[int] | None, name: str, like: Tensor
    ) -> Waiting:
        tag = self._tag(name)
        if sizes is None:
            ahead = {rank: torch.tensor([len(part)]) for rank, part in sent.items()}
            announced = self._start_links(ahead, heard, [1] * len(heard), f"{name}, lengths", torch.tensor([0]))

            def arrive() -> Arriving:
                return self._receive(heard, [int(length) for length in announced()], like, tag)
        else:
            arriving = self._receive(heard, sizes, like, tag)

            def arrive() -> Arriving:
                return arriving

        leaving = [request for peer, part in sent.items() if len(part) for request in self._send(part, peer, tag)]

        def wait() -> list[Tensor]:
            received, requests = arrive()
            self._finish(requests + leaving, name)
            return [part.to(like.device) for part in received]

        return wait

    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        return objects.gather(self, value, name)

    def host(self) -> str:
        return socket.gethostname()

    def _split(self, groups: Sequence[Sequence[int]]) -> Transport:
        group = next(group for group in groups if self.rank in group)
        mine = Distributed([self._ranks[rank] for rank in group])
        here = [rank for rank in next(host for host in self.hosts() if self.rank in host) if rank in group]
        mine.local_rank, mine.local_size = here.index(self.rank), len(here)
        return mine

    def versions(self) -> dict[str, str]:
        return {**super().versions(), "torch.distributed": "gloo"}

    def _to_all(self, sent: Sequence[Tensor], lengths: Sequence[int] | None, name: str) -> Waiting:
        return start_all(self._start_links, self.rank, sent, lengths, name)

    def _all_reduce(
        self, tensor: Tensor, combine: Callable[[Sequence[Tensor]], Tensor], result: Tensor, name: str
    ) -> Callable[[], Tensor]:
        """Combines every rank's share of all vectors there, and gathers what comes out, into ``result``."""
        shares = tensor.flatten().tensor_split(self.size)
        sizes = [len(share) for share in shares]
        arrive = self._to_all(shares, [sizes[self.rank]] * self.size, f"{name}, shares")

        def finish() -> Tensor:
            combined = self._to_all([combine(arrive())] * self.size, sizes, f"{name}, combined")()
            result.view(-1).copy_(torch.cat(combined))
            return result

        return in_background(finish, name).result

    def _tag(self, name: str) -> int:
        """Returns the tag of the messages of a collective; those with the same tag arrive in order.

        Raises:
            RuntimeError: another name in use has the same tag, of 2^31.
        """
        full = f"{self._ranks} {name}"
        tag = zlib.crc32(full.encode()) & TAG_BITS
        if _names.setdefault(tag, full) != full:
            raise RuntimeError(f"the names {full!r} and {_names[tag]!r} cannot be told apart; rename one")
        return tag

    def _send(self, part: Tensor, peer: int, tag: int) -> list[Request]:
        """Sends a tensor; returns the message if it must be waited for. A short one is copied and need not be."""
        short = part.nbytes <= EAGER_BYTES
        message = part.cpu().clone() if short else part.cpu()
        to = self._ranks[peer]
        request = (to, dist.isend(message, to, self._world.group, tag))
        if not short:
            return [request]
        _left_behind.append(request)
        if len(_left_behind) > LEFT_BEHIND:
            self._finish([_left_behind.popleft()], "a message sent long ago")
        return []

    def _receive(self, heard: Sequence[int], lengths: Sequence[int], like: Tensor, tag: int) -> Arriving:
        received = list(torch.empty(sum(lengths), dtype=like.dtype).split(list(lengths)))
        parts = ((self._ranks[peer], part) for peer, part in zip(heard, received, strict=True) if len(part))
        return received, [(peer, dist.irecv(part, peer, self._world.group, tag)) for peer, part in parts]

    def _finish(self, requests: Sequence[Request], name: str) -> None:
        """Waits for messages, which proceed at the same time in gloo's threads.

        Raises:
            PeerLostError: a rank has ended, or has not taken part in time.
        """
        for peer, request in requests:
            try:
                request.wait()
            except RuntimeError as error:
                raise PeerLostError(
                    f"rank {peer} on host {self._world.hosts[peer]} has ended, or did not join the others in "
                    f"{stall_limit():g} s, so they cannot go on ({name}: {error}); resume from the last checkpoint "
                    "with --resume"
                ) from error


@functools.cache  # torch.distributed has one
def world() -> World:
    """Connects the processes. Collective when first called.

    Raises:
        ConfigurationError: they cannot reach each other.
    """
    timeout = timedelta(seconds=stall_limit()) if stall_limit() < math.inf else FOREVER
    try:
        if not dist.is_initialized():
            store, rank, size = next(rendezvous("env://", timeout=timeout))
            store.set_timeout(timeout)
            check_hosts(store, rank, size)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timeout)
        group = dist.new_group(backend="gloo", timeout=timeout)
        hosts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(hosts, socket.gethostname(), group)
    except ConfigurationError:
        raise
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"the ranks cannot reach each other through torch.distributed ({str(error).splitlines()[0]}); if hosts "
            f"have several network interfaces, set {GLOO_INTERFACE} to the one that joins them"
        ) from error
    return World(group, tuple(hosts))


_numbers: defaultdict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
"""Counts of the names in use among ranks, shared by all transports of this process."""

_left_behind: deque[Request] = deque()
"""The last short messages of this process, which nobody waits for; gloo drops a message that is forgotten."""

_names: dict[int, str] = {}
"""The name of every tag in use."""
