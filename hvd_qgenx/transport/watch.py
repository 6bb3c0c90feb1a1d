"""Detects ranks that are silent: frozen, or cut off from the network.

Horovod's own check for stalled ranks needs all of them: once a process is frozen, the others wait for it inside MPI
forever. So every rank sends heartbeats to every other, and a rank that is silent for too long ends the job.
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

from hvd_qgenx.transport.abort import abort
from hvd_qgenx.transport.mpi import MPI, is_horovods
from hvd_qgenx.transport.silence import Silence
from hvd_qgenx.transport.waiting import note_ended, note_joined, stall_limits

T = TypeVar("T")

BEATS = 10
"""Heartbeats within the time that a rank may be silent."""
SLOWEST = 5.0
"""Seconds between two heartbeats, at most."""
POLL_SECONDS = 0.2
"""Pause between two tests for messages."""
LEAVE_SECONDS = 10.0
"""Longest time for which a rank that ends keeps Horovod from finalizing MPI while others still use it."""
SHUTDOWN = -1
"""Message in place of the number of collectives: the rank is shutting down."""
JOINED = -2
"""Message in its place: the rank is in ``hvd.join``."""


class Watch:
    """Sends heartbeats to all ranks, in a thread of its own, and listens for theirs.

    If a rank is silent for longer than HOROVOD_STALL_SHUTDOWN_TIME_SECONDS, the processes that still reach each other
    end at once with exit code 1, and the first of them prints why.
    """

    def __init__(self, limit: float) -> None:
        """Collective over MPI_COMM_WORLD."""
        self.collectives = 0
        """Number of collectives that this rank has begun to wait for; heartbeats carry it."""
        self.joined = False
        """True while this rank is in ``hvd.join``."""
        self._limit, self._beat = limit, min(limit / BEATS, SLOWEST)
        self._communicator = MPI.COMM_WORLD.Dup()
        self._rank = self._communicator.rank
        self._peers = [rank for rank in range(self._communicator.size) if rank != self._rank]
        self._hosts: list[str] = self._communicator.allgather(socket.gethostname())
        self._silence = Silence(self._peers, limit, self._beat)
        self._waited_for = dict.fromkeys(self._peers, 0)
        self._under_way: dict[int, tuple[Any, Any]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()
        atexit.register(self.stop)  # runs before MPI's end, being registered after it

    def stop(self) -> None:
        """Tells the peers that this rank is shutting down.

        If MPI is Horovod's, which finalizes it on all ranks as soon as one has ended, this waits until the others have
        ended too, or have noticed.
        """
        self._stopped.set()
        self._thread.join()
        deadline = time.monotonic() + (LEAVE_SECONDS if is_horovods() else 0)
        while not MPI.Is_finalized() and max(self._waited_for.values()) >= 0 and time.monotonic() < deadline:
            self._hear()
            time.sleep(POLL_SECONDS)

    def explain(self) -> str | None:
        """Returns one sentence that names the ranks for which collectives failed; None if another rank prints it."""
        time.sleep(2 * POLL_SECONDS)  # the last message of a rank that has ended may be on its way
        counts = {**self._waited_for, self._rank: self.collectives}
        gone = [rank for rank, count in sorted(counts.items()) if count == SHUTDOWN]
        least, most = min(counts.values()), max(counts.values())  # who gossips with others may be ahead of them too
        late = [rank for rank, count in sorted(counts.items()) if count == least < most and not gone]
        if self._rank > min(set(counts) - set(gone) - set(late)):
            return None
        if gone:
            return f"{self._names(gone)} has ended, so the others cannot go on"
        return (
            f"{self._names(late) or 'a rank'} did not join the others in time, so they cannot go on; "
            "resume from the last checkpoint with --resume"
        )

    def _run(self) -> None:
        looked, told_joined = time.monotonic(), False
        while not self._stopped.wait(POLL_SECONDS):
            if MPI.Is_finalized():  # by Horovod, when another rank has ended
                return
            self._hear()
            now = time.monotonic()
            if now - looked < self._beat and told_joined == self.joined:
                continue
            told_joined = self.joined
            self._tell(JOINED if told_joined else self.collectives)
            self._silence.advance(now - looked)
            looked = now
            if silent := self._silence.silent():
                self._end(silent)
        if not MPI.Is_finalized():
            self._tell(SHUTDOWN)

    def _tell(self, count: int) -> None:
        """Sends a heartbeat to every peer whose last one has been delivered."""
        for peer in self._peers:
            if peer not in self._under_way or self._under_way[peer][0].Test():
                message = array("q", [count])
                self._under_way[peer] = self._communicator.Isend(message, peer), message

    def _hear(self) -> None:
        """Receives the messages that have arrived; so no receive is open when MPI ends."""
        message = array("q", [0])
        for peer in self._peers:
            while self._communicator.Iprobe(peer):
                self._communicator.Recv(message, peer)
                self._waited_for[peer] = message[0]
                if message[0] == SHUTDOWN:
                    self._silence.remove(peer)
                    note_ended(peer, self._names([peer]))
                else:
                    self._silence.heard(peer)
                    note_joined(peer, self._names([peer]), message[0] == JOINED)

    def _end(self, silent: Sequence[int]) -> None:
        """Ends this process; the first of the ranks that are left prints why, and the others give it time to."""
        if self._rank == min({self._rank, *self._peers} - set(silent)):
            print(
                f"Error: {self._names(silent)} has not been heard of for {self._limit:g} s: frozen or cut off; "
                "resume from the last checkpoint with --resume",
                file=sys.stderr,
                flush=True,
            )
        else:
            time.sleep(2 * self._beat + 1)
        abort(1)

    def _names(self, ranks: Iterable[int]) -> str:
        return ", ".join(f"rank {rank} on host {self._hosts[rank]}" for rank in ranks)


_watch: Watch | None = None


def start() -> None:
    """Starts to watch all ranks of MPI_COMM_WORLD, unless that is done or the user has disabled it. Collective."""
    global _watch
    _, limit = stall_limits()
    if _watch is None and MPI.COMM_WORLD.size > 1 and limit < math.inf:
        _watch = Watch(limit)


def counted(wait: Callable[[], T]) -> Callable[[], T]:
    """Wraps a collective's ``wait`` to count it: the counts tell which rank the others wait for."""

    def counted_wait() -> T:
        if _watch:
            _watch.collectives += 1
        return wait()

    return counted_wait


def join(wait: Callable[[], T]) -> T:
    """Calls ``wait``, and tells the other ranks that this one takes part in no collectives meanwhile."""
    if _watch is None:
        return wait()
    _watch.joined = True
    try:
        return wait()
    finally:
        _watch.joined = False


def explain() -> str | None:
    """Returns one sentence that says why collectives failed; None if another rank prints it."""
    return _watch.explain() if _watch else "Horovod has lost a rank; resume from the last checkpoint with --resume"
