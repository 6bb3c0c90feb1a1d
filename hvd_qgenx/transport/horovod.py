"""Ranks as Horovod processes."""

import functools
import logging
import os
import socket
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import horovod.torch as hvd
import torch
from horovod.common.exceptions import HorovodInternalError
from horovod.torch.mpi_ops import _allreduce_async
from horovod.torch.optimizer import _DistributedOptimizer
from torch import Tensor

from hvd_qgenx.transport import mpi, objects, watch
from hvd_qgenx.transport.base import LENGTH_BYTES, Blocks, Transport, Work, require_sizes
from hvd_qgenx.transport.environment import (
    DYNAMIC_PROCESS_SETS,
    EAGER_LIMIT,
    FUSION_THRESHOLD,
    STALL_SHUTDOWN,
    STALL_WARNING,
    TUNED_ALLREDUCE,
    TUNED_RULES,
    YIELD_WHEN_IDLE,
)
from hvd_qgenx.transport.launcher import STALL_SECONDS, launched_local_size, launched_size
from hvd_qgenx.transport.mpi import EAGER_BYTES, Channel, library, unusable
from hvd_qgenx.transport.quota import host_cores
from hvd_qgenx.transport.waiting import wait_until

log = logging.getLogger(__name__)

POLL_SECONDS = 2e-4
"""Pause between two tests of a collective of Horovod's, whose own thread needs the core where ranks share cores: a rank
that only yielded it waited for a tenth to a fifth longer."""


class Horovod(Transport):
    """The ranks of ``horovodrun`` (or of one plain process), or the ranks of one process set.

    Horovod is initialized if need be, which sets up more than ``hvd.init`` does: see ``_environment``.
    """

    def __init__(self, process_set: hvd.ProcessSet = hvd.global_process_set) -> None:
        super().__init__()
        prepare()
        if not hvd.is_initialized():
            hvd.init()
        if process_set is hvd.global_process_set and unusable() is None:
            watch.start()
        self.process_set = process_set
        self._numbers = _numbers[tuple(process_set.ranks)]
        self.rank, self.size = process_set.rank(), process_set.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()

    def all_reduce_mean(self, tensor: Tensor, name: str, out: Tensor | None = None) -> Work[Tensor]:
        op, scale = (hvd.Sum, 1 / self.size) if tensor.dtype == torch.float16 else (hvd.Average, 1.0)
        mean = tensor if out is None else out
        handle = _allreduce_async(tensor, mean, name, op, scale, 1.0, self.process_set)
        return Work(self._wait(handle, name), self._ring_bytes(tensor))

    def all_reduce_sum(self, tensor: Tensor, name: str) -> Work[Tensor]:
        total = torch.empty_like(tensor)
        handle = _allreduce_async(tensor, total, name, hvd.Sum, 1.0, 1.0, self.process_set)
        return Work(self._wait(handle, name), self._ring_bytes(tensor))

    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        sent = with_length(tensor) if sizes is None else tensor
        wait = self._wait(hvd.allgather_async(sent, name=name, process_set=self.process_set), name)

        def parts() -> list[Tensor]:
            return split_by_length(wait(), self.size) if sizes is None else list(wait().split(list(sizes)))

        return Work(parts, self._gather_bytes(tensor, sizes))

    def all_to_all(
        self,
        tensor: Tensor,
        sizes: Sequence[int],
        name: str,
        received: Sequence[int] | None = None,  # Horovod finds out itself
    ) -> Work[list[Tensor]]:
        splits = torch.tensor(sizes, dtype=torch.int32)
        wait = self._wait(hvd.alltoall_async(tensor, splits=splits, name=name, process_set=self.process_set), name)

        def parts() -> list[Tensor]:
            received, sizes = wait()
            return list(received.split(sizes.tolist()))

        return Work(parts, self._scatter_bytes(tensor, sizes))

    def _start_links(
        self, sent: Mapping[int, Tensor], heard: Sequence[int], sizes: Sequence[int] | None, name: str, like: Tensor
    ) -> Callable[[], list[Tensor]]:
        """Sends nothing to ranks without a link; they take part all the same."""
        outgoing = {rank: with_length(sent[rank]) if sizes is None else sent[rank] for rank in sorted(sent)}
        splits = [len(outgoing[rank]) if rank in outgoing else 0 for rank in range(self.size)]
        announced = {} if sizes is None else dict(zip(heard, sizes, strict=True))
        arrive = self.all_to_all(torch.cat([like.new_empty(0), *outgoing.values()]), splits, name).wait

        def wait() -> list[Tensor]:
            received = arrive()
            if sizes is None:
                return [split_by_length(received[rank], 1)[0] for rank in heard]
            require_sizes(received, [announced.get(rank, 0) for rank in range(self.size)], name)
            return [received[rank] for rank in heard]

        return wait

    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        return objects.gather(self, value, name)

    def ordered(self, name: str) -> Transport:
        """Exchanges CPU tensors on MPI directly where Horovod runs on it: see ``mpi``."""
        reasons = [reason for reason in self.all_gather_object(unusable(), f"{name}.ordered") if reason]
        if not reasons:
            return Ordered(self)
        if self.rank == 0:
            log.warning(f"compressed gradients travel through Horovod's own collectives: {reasons[0]}")
        return self

    def host(self) -> str:
        return socket.gethostname()

    def _split(self, groups: Sequence[Sequence[int]]) -> Transport | None:
        ranks = self.process_set.ranks
        try:
            sets = [_process_set(tuple(ranks[rank] for rank in group)) for group in groups]
        except ValueError:  # Horovod was started without process sets
            return None
        mine = Horovod(next(found for found in sets if found.included()))
        group = next(group for group in groups if self.rank in group)
        here = [rank for rank in next(host for host in self.hosts() if self.rank in host) if rank in group]
        mine.local_rank, mine.local_size = here.index(self.rank), len(here)
        return mine

    def _wait(self, handle: Any, name: str) -> Callable[[], Any]:
        """Returns a function that waits for a collective of Horovod's and returns its result."""
        ranks = frozenset(self.process_set.ranks)

        def wait() -> Any:
            wait_until(
                lambda: hvd.poll(handle),
                ranks,
                POLL_SECONDS,
                lambda waited: f"{name}: waited {waited}",
                HorovodInternalError,
                own=False,
            )
            return hvd.synchronize(handle)

        return watch.counted(wait)

    def versions(self) -> dict[str, str]:
        built = {"mpi": hvd.mpi_built, "gloo": hvd.gloo_built, "nccl": hvd.nccl_built}
        return {
            **super().versions(),
            "horovod": metadata.version("horovod"),
            "horovod-build": "+".join(name for name, has in built.items() if has()),
            "mpi": library(),
        }

    def optimizer_bases(self) -> tuple[type, ...]:
        return (_DistributedOptimizer,)


def prepare() -> None:
    """Sets up what must be known before Horovod starts, or as much as has an effect later."""
    for variable, value in _environment().items():
        os.environ.setdefault(variable, value)
    if not hvd.is_initialized():
        mpi.start()


class Ordered(Horovod):
    """Carries all-to-all, all-gather and neighbour exchanges of CPU tensors over an MPI channel of its own."""

    def __init__(self, beside: Horovod) -> None:
        super().__init__(beside.process_set)
        self.local_rank, self.local_size = beside.local_rank, beside.local_size
        self._channel = Channel(beside.process_set.ranks)
        _announce_joins()

    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        if tensor.device.type != "cpu":
            return super().all_gather(tensor, sizes, name)
        wait = self._channel.start_all([tensor] * self.size, sizes, name)
        return Work(watch.counted(wait), self._gather_bytes(tensor, sizes))

    def all_to_all(
        self, tensor: Tensor, sizes: Sequence[int], name: str, received: Sequence[int] | None = None
    ) -> Work[list[Tensor]]:
        if tensor.device.type != "cpu":
            return super().all_to_all(tensor, sizes, name, received)
        wait = self._channel.start_all(tensor.split(list(sizes)), received, name)
        return Work(watch.counted(wait), self._scatter_bytes(tensor, sizes))

    def exchange_blocks(self, buffer: Tensor, blocks: Blocks, name: str) -> Work[None]:
        if buffer.device.type != "cpu":
            return super().exchange_blocks(buffer, blocks, name)
        return Work(watch.counted(self._channel.exchange_blocks(buffer, blocks, name)), blocks.bytes_sent)

    def _start_links(
        self, sent: Mapping[int, Tensor], heard: Sequence[int], sizes: Sequence[int] | None, name: str, like: Tensor
    ) -> Callable[[], list[Tensor]]:
        if like.device.type != "cpu":
            return super()._start_links(sent, heard, sizes, name, like)
        return watch.counted(self._channel.start(sent, heard, sizes, name, like))


@functools.cache  # once
def _announce_joins() -> None:
    """Lets ``hvd.join`` tell the ranks whose compressed exchanges would wait for this one."""
    join = hvd.join
    hvd.join = functools.wraps(join)(lambda *arguments, **keywords: watch.join(lambda: join(*arguments, **keywords)))


_numbers: defaultdict[tuple[int, ...], Counter[str]] = defaultdict(Counter)
"""Counts of the names in use among ranks, shared by all transports of this process."""


@functools.cache  # Horovod refuses a second set of the same ranks
def _process_set(ranks: tuple[int, ...]) -> hvd.ProcessSet:
    return hvd.add_process_set(list(ranks))


def forget_process_sets() -> None:
    """Drops the process sets, which Horovod has lost when it was started again, and the names in use."""
    _process_set.cache_clear()
    _numbers.clear()


def with_length(tensor: Tensor) -> Tensor:
    """Returns a uint8 tensor with its length, an int64, in front."""
    length = torch.tensor([len(tensor)], dtype=torch.int64).view(torch.uint8)
    return torch.cat([length.to(tensor.device), tensor])


def split_by_length(gathered: Tensor, count: int) -> list[Tensor]:
    """Splits ``count`` tensors of ``with_length`` that lie end to end."""
    parts, start = [], 0
    for _ in range(count):
        length = int(gathered[start : start + LENGTH_BYTES].clone().view(torch.int64))
        start += LENGTH_BYTES
        parts.append(gathered[start : start + length])
        start += length
    return parts


def _environment() -> dict[str, str]:
    """Returns defaults that must be in the environment before MPI and Horovod start.

    Open MPI's own choice of all-reduce sends up to 1.9 times the bytes of a ring. Messages of a
    slice are sent without waiting for the receiver. Horovod would fuse all-reduces as they
    happen to arrive, and the order of a sum would depend on timing; the vectors are fused already.
    A collective that some ranks never join ends the job. Idle ranks must yield if there are more
    ranks than cores. Groups of ranks (process sets) cost every collective a little; only several
    ranks on each of several hosts use them.
    """
    variables = {
        TUNED_RULES: "1",
        TUNED_ALLREDUCE: "4",
        EAGER_LIMIT: str(EAGER_BYTES),
        FUSION_THRESHOLD: "0",
        STALL_WARNING: "60",
        STALL_SHUTDOWN: str(STALL_SECONDS),
    }
    size, local_size = launched_size(), launched_local_size()
    if local_size > host_cores():
        variables[YIELD_WHEN_IDLE] = "1"
    if 1 < local_size < size:
        variables[DYNAMIC_PROCESS_SETS] = "1"
    return variables
