"""Exchanges on MPI directly, beside Horovod."""

import atexit
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import horovod.torch as hvd
import mpi4py
import torch
from horovod.common.exceptions import HorovodInternalError
from torch import Tensor

from hvd_qgenx.transport import links
from hvd_qgenx.transport.base import Blocks
from hvd_qgenx.transport.launcher import started_by_mpi
from hvd_qgenx.transport.waiting import wait_until

mpi4py.rc.initialize = mpi4py.rc.finalize = False
from mpi4py import MPI as MPI  # noqa: E402

EAGER_BYTES = 1 << 18
"""Messages up to this size, header included, are sent at once, before the receiver has answered."""
PIECE_BYTES = EAGER_BYTES - 1024
"""Longer tensors travel as several messages."""
POLL_SECONDS = 3e-4
"""Pause between two tests for messages; a rank that waits leaves its core to others."""
TAGS = 1 << 15
"""Number of tags; every MPI has as many."""

Arriving: TypeAlias = tuple[list[Tensor], list[tuple[int, Any]]]
"""The tensors that ranks send to this one; for every message the sender and the MPI request."""


class Channel:
    """Exchanges among ranks that all start the same ones in the same order, each from one thread.

    They proceed while a rank computes: messages that are sent at once need no help, and Horovod's own
    thread keeps MPI progressing.
    """

    def __init__(self, ranks: Sequence[int]) -> None:
        """Collective over ``ranks``, which are numbers in MPI_COMM_WORLD."""
        world = MPI.COMM_WORLD
        self._communicator = world.Create_group(world.group.Incl(list(ranks)))
        self._rank, self._size = self._communicator.rank, self._communicator.size
        self._ranks = tuple(ranks)
        self._tag = 0
        self._under_way: dict[int, list[Sequence[Tensor]]] = {}
        """Tensors that MPI reads and writes, by tag: kept alive even if nobody waits for them."""
        _channels.append(self)

    def start_all(self, sent: Sequence[Tensor], lengths: Sequence[int] | None, name: str) -> Callable[[], list[Tensor]]:
        """Sends ``sent[k]`` to rank k; returns a function that waits for the tensors from every rank and returns them.

        What a rank sends to itself is returned as it is. See ``start``; ``lengths`` are those of all ranks' tensors.
        """
        return links.start_all(self.start, self._rank, sent, lengths, name)

    def start(
        self,
        sent: Mapping[int, Tensor],
        heard: Sequence[int],
        lengths: Sequence[int] | None,
        name: str,
        like: Tensor,
    ) -> Callable[[], list[Tensor]]:
        """Sends ``sent[k]`` to rank k; returns a function that waits for the tensors from ranks ``heard``, in order.

        Only ranks that send to each other wait for each other. A rank may thus be ahead of others by more than
        ``TAGS`` exchanges: every exchange takes as many tags on all ranks, and messages with the same tag from one
        rank to another arrive in order.

        Args:
            sent: 1-D CPU tensors of one dtype.
            heard: the ranks that send to this one.
            lengths: of the tensors that they send; None, on all ranks: they are sent ahead, 8 bytes a tensor.
            name: for messages.
            like: has the dtype of all tensors.

        Raises:
            HorovodInternalError: (from the wait) another rank has not taken part for
                HOROVOD_STALL_SHUTDOWN_TIME_SECONDS; Horovod's collectives raise the same.
        """
        self._tag = tag = (self._tag + 1) % TAGS
        self._under_way[tag] = [list(sent.values())]
        if lengths is None:
            ahead = {rank: torch.tensor([len(part)]) for rank, part in sent.items()}
            announced = self.start(ahead, heard, [1] * len(heard), name, torch.tensor([0]))

            def arrive() -> Arriving:
                return self._receive(heard, [int(length) for length in announced()], like, tag)
        else:
            arriving = self._receive(heard, lengths, like, tag)

            def arrive() -> Arriving:
                return arriving

        leaving = self._send(sent, tag)

        def wait() -> list[Tensor]:
            received, requests = arrive()
            self._finish(requests + leaving, name)
            del self._under_way[tag]
            return received

        return wait

    def exchange_blocks(self, buffer: Tensor, blocks: Blocks, name: str) -> Callable[[], None]:
        """Sends and receives blocks of a buffer; returns a function that waits for all. Raises as ``start``."""
        self._tag = tag = (self._tag + 1) % TAGS
        self._under_way[tag] = [[buffer]]
        data, peers, requests = buffer.numpy(), [], []
        for messages, begin in (
            (blocks.arriving, self._communicator.Irecv),
            (blocks.leaving, self._communicator.Isend),
        ):
            for peer, start, stop in messages:
                for at in range(start, stop, PIECE_BYTES):
                    peers.append(peer)
                    requests.append(begin(data[at : min(at + PIECE_BYTES, stop)], peer, tag))

        def wait() -> None:
            if not MPI.Request.Testall(requests):
                self._finish(list(zip(peers, requests, strict=True)), name)
            del self._under_way[tag]

        return wait

    def _send(self, sent: Mapping[int, Tensor], tag: int) -> list[tuple[int, Any]]:
        parts = sent.items()
        return [(peer, self._communicator.Isend(piece, peer, tag)) for peer, part in parts for piece in _pieces(part)]

    def _receive(self, heard: Sequence[int], lengths: Sequence[int], like: Tensor, tag: int) -> Arriving:
        received = list(torch.empty(sum(lengths), dtype=like.dtype).split(list(lengths)))
        self._under_way[tag].append(received)
        parts = zip(heard, received, strict=True)
        return received, [
            (peer, self._communicator.Irecv(piece, peer, tag)) for peer, part in parts for piece in _pieces(part)
        ]

    def _finish(self, requests: list[tuple[int, Any]], name: str) -> None:
        left: dict[int, list[Any]] = {}
        for peer, request in requests:
            left.setdefault(self._ranks[peer], []).append(request)

        def done() -> bool:
            for rank in [rank for rank, theirs in left.items() if MPI.Request.Testall(theirs)]:
                del left[rank]  # may end now: it has sent what this rank waits for
            return not left

        def problem(waited: str) -> str:
            missing = [str(peer) for peer, rank in enumerate(self._ranks) if rank in left]
            return f"{name}: waited {waited} for ranks {', '.join(missing)}"

        wait_until(done, left.keys(), POLL_SECONDS, problem, HorovodInternalError)


_channels: list[Channel] = []
"""All channels of the process: MPI may still write to their tensors when nobody else knows them."""

_started = False


def start() -> None:
    """Initializes MPI, and registers its end, if MPI's launcher started the process. Call it before Horovod's start.

    Horovod would finalize MPI as soon as any rank ends, whatever other threads are doing with it.
    """
    global _started
    if started_by_mpi() and hvd.mpi_built() and not MPI.Is_initialized():
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
        atexit.register(_end)
        _started = True


def is_horovods() -> bool:
    """Tells whether Horovod started MPI, which it will also finalize, on all ranks, as soon as one has ended."""
    return not _started


def _end() -> None:
    """Finalizes MPI, which waits for all ranks; not after an exception, so that the launcher ends the others."""
    if not hasattr(sys, "last_value"):
        MPI.Finalize()


def unusable() -> str | None:
    """Returns why Horovod's ranks cannot use MPI directly; None if they can."""
    if not (hvd.mpi_built() and hvd.mpi_enabled() and MPI.Is_initialized()):
        return "Horovod does not run on MPI"
    if MPI.Query_thread() != MPI.THREAD_MULTIPLE:
        return "MPI was started for a single thread"
    if (MPI.COMM_WORLD.size, MPI.COMM_WORLD.rank) != (hvd.size(), hvd.rank()):
        return "Horovod's ranks are not those of MPI_COMM_WORLD"
    return None


def library() -> str:
    """Returns name and version of the MPI library."""
    return str(MPI.Get_library_version().split(",")[0].strip())


def _pieces(tensor: Tensor) -> Iterator[Any]:
    data = tensor.view(torch.uint8).numpy()
    return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))
