"""Notices ranks that have fallen silent: frozen, or cut off from the network.

Horovod's own look-out for stalled ranks needs the help of all of them: once a process is frozen, the others wait for it
inside MPI for ever. So every rank tells every other now and then that it lives, and a rank that has not been heard
of for too long ends the job.
"""

import atexit
import math
import socket
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from hvd_qgenx.transport.broken import leave
from hvd_qgenx.transport.mpi import MPI, stall_limits

T = TypeVar("T")

BEATS = 10
"""Signs of life within the time that a rank may be silent."""
SLOWEST = 5.0
"""Seconds between two signs of life, at most."""
GLANCE = 0.2
"""Seconds between two looks for messages."""
GOODBYE = -1
"""In place of the number of collectives: the rank leaves."""


class Silence:
    """How long peers have been silent.

    Args:
        peers: the ranks to listen to.
        limit: seconds that they may be silent.
        beat: seconds between two looks.
    """

    def __init__(self, peers: Iterable[int], limit: float, beat: float) -> None:
        self._limit, self._beat = limit, beat
        self._seconds = dict.fromkeys(peers, 0.0)

    def passes(self, seconds: float) -> None:
        """So much time has passed. What is far more than a beat does not count: this process itself was frozen."""
        for peer in self._seconds:
            self._seconds[peer] += min(seconds, 2 * self._beat)

    def heard(self, peer: int) -> None:
        """The peer has given a sign of life."""
        self._seconds[peer] = 0.0

    def leaves(self, peer: int) -> None:
        """The peer will not be heard of again."""
        self._seconds.pop(peer, None)

    def silent(self) -> list[int]:
        """The peers that have been silent for too long."""
        return [peer for peer, seconds in self._seconds.items() if seconds > self._limit]


class Watch:
    """Tells all ranks that this one lives, from a thread of its own, and listens to them.

    Where a rank is silent for longer than HOROVOD_STALL_SHUTDOWN_TIME_SECONDS, the processes that can hear each other
    end at once with exit code 1, and the first of them says why.
    """

    def __init__(self, limit: float) -> None:
        """Collective over MPI_COMM_WORLD."""
        self.collectives = 0
        """How many this rank has begun to wait for; the others are told."""
        self._limit, self._beat = limit, min(limit / BEATS, SLOWEST)
        self._communicator = MPI.COMM_WORLD.Dup()
        self._rank = self._communicator.rank
        self._peers = [rank for rank in range(self._communicator.size) if rank != self._rank]
        self._hosts: list[str] = self._communicator.allgather(socket.gethostname())
        self._silence = Silence(self._peers, limit, self._beat)
        self._waited_for = dict.fromkeys(self._peers, 0)
        self._under_way: dict[int, tuple[Any, Any]] = {}
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        atexit.register(self.leave)  # runs before MPI's end, being registered after it

    def leave(self) -> None:
        """Takes leave of the others, who do not miss this rank then."""
        self._left.set()
        self._thread.join()

    def explain(self) -> str | None:
        """In one sentence, which ranks collectives failed for; None if another rank says so."""
        time.sleep(2 * GLANCE)  # a rank that has left may have said so just now
        counts = {**self._waited_for, self._rank: self.collectives}
        gone = [rank for rank, count in sorted(counts.items()) if count == GOODBYE]
        late = [rank for rank, count in sorted(counts.items()) if count < max(counts.values()) and not gone]
        if self._rank > min(set(counts) - set(gone) - set(late)):
            return None
        if gone:
            return f"{self._names(gone)} has ended, so the others cannot go on"
        return (
            f"{self._names(late) or 'a rank'} did not join the others in time, so they cannot go on; "
            "resume from the last checkpoint with --resume"
        )

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._left.wait(GLANCE):
            self._hear()
            now = time.monotonic()
            if now - looked < self._beat:
                continue
            self._tell(self.collectives)
            self._silence.passes(now - looked)
            looked = now
            if silent := self._silence.silent():
                self._end(silent)
        self._tell(GOODBYE)

    def _tell(self, count: int) -> None:
        """To whom the last message has not left yet gets no other."""
        for peer in self._peers:
            if peer not in self._under_way or self._under_way[peer][0].Test():
                message = array("q", [count])
                self._under_way[peer] = self._communicator.Isend(message, peer), message

    def _hear(self) -> None:
        """Receives only what is there, so that no receive is open when MPI ends."""
        message = array("q", [0])
        for peer in self._peers:
            while self._communicator.Iprobe(peer):
                self._communicator.Recv(message, peer)
                self._waited_for[peer] = message[0]
                if message[0] == GOODBYE:
                    self._silence.leaves(peer)
                else:
                    self._silence.heard(peer)

    def _end(self, silent: Sequence[int]) -> None:
        """Of those that are left the first speaks, and the others give it time to."""
        if self._rank == min({self._rank, *self._peers} - set(silent)):
            print(
                f"Error: {self._names(silent)} has not been heard of for {self._limit:g} s: frozen or cut off; "
                "go on from the last checkpoint with --resume",
                file=sys.stderr,
                flush=True,
            )
        else:
            time.sleep(2 * self._beat + 1)
        leave(1)

    def _names(self, ranks: Iterable[int]) -> str:
        return ", ".join(f"rank {rank} on host {self._hosts[rank]}" for rank in ranks)


_watch: Watch | None = None


def start() -> None:
    """Begins to watch all ranks of MPI_COMM_WORLD, unless the user does without. Collective, once."""
    global _watch
    _, limit = stall_limits()
    if MPI.COMM_WORLD.size > 1 and limit < math.inf:
        _watch = Watch(limit)


def counted(wait: Callable[[], T]) -> Callable[[], T]:
    """A collective's ``wait`` that lets the others know, when they look for whom they wait for."""

    def counted_wait() -> T:
        if _watch:
            _watch.collectives += 1
        return wait()

    return counted_wait


def explain() -> str | None:
    """In one sentence, why collectives have failed; None if it is for another rank to say so."""
    return _watch.explain() if _watch else "Horovod has lost a rank; resume from the last checkpoint with --resume"
