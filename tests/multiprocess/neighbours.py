"""One rank of: neighbour exchanges on the default and on the ordered transport.

Rank 0 writes what all ranks received as JSON.
"""

import json
import os
import random
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvd_qgenx.transport import Transport, Work, launched
from hvd_qgenx.transport.environment import STALL_SHUTDOWN

Links = frozenset[tuple[int, int]]
"""Pairs of sender and receiver."""

ABOVE_A_PIECE = 150_001
"""Twice as many bytes take several messages, the last of them short."""


def both_ways(links: set[tuple[int, int]]) -> Links:
    return frozenset(links | {(receiver, sender) for sender, receiver in links})


def graphs(size: int) -> dict[str, Links]:
    """Returns directed graphs of so many ranks, by name."""
    ring = {(rank, (rank + 1) % size) for rank in range(size) if size > 1}
    draw = random.Random(size)
    pairs = [(sender, receiver) for sender, receiver in product(range(size), repeat=2) if sender != receiver]
    return {
        "ring": both_ways(ring),
        "directed ring": frozenset(ring),
        "star": both_ways({(0, rank) for rank in range(1, size)}),
        "rank 0 alone": both_ways(set(pairwise(range(1, size)))),
        "nobody": frozenset(),
        **{f"random {turn}": frozenset(draw.sample(pairs, len(pairs) // 2)) for turn in range(2)},
    }


@dataclass(frozen=True)
class Case:
    """One exchange: who sends how much to whom."""

    links: Links
    dtype: torch.dtype
    scale: int
    known: bool
    """Whether the receivers know the lengths."""
    to_all: bool
    """Whether a rank sends one tensor to all that hear it."""

    def message(self, sender: int, receiver: int) -> Tensor:
        """Returns what one rank sends to another; every third message is empty."""
        place = 0 if self.to_all else receiver + 1
        length = self.scale * ((2 * sender + place) % 3)
        return torch.arange(length).add_(31 * sender + 7 * place).remainder_(251).to(self.dtype)

    def start(self, transport: Transport, name: str) -> Work[dict[int, Tensor]]:
        """Starts the exchange on this rank."""
        rank = transport.rank
        told = sorted(receiver for sender, receiver in self.links if sender == rank)
        heard = sorted((sender for sender, receiver in self.links if receiver == rank), reverse=True)
        common = self.message(rank, rank)
        sent = {receiver: common if self.to_all else self.message(rank, receiver) for receiver in told}
        sizes = [len(self.message(sender, rank)) for sender in heard] if self.known else None
        return transport.neighbour_exchange(sent, heard, sizes, name, torch.empty(0, dtype=self.dtype))

    def expected(self, rank: int) -> list[Any]:
        """Returns ``outcome`` for a rank."""
        sent = [self.message(rank, receiver) for sender, receiver in self.links if sender == rank]
        heard = sorted((sender for sender, receiver in self.links if receiver == rank), reverse=True)
        header = 0 if self.known else 8
        return [sum(part.nbytes + header for part in sent), summaries({k: self.message(k, rank) for k in heard})]


def cases(size: int) -> Iterator[tuple[str, Case]]:
    """Yields named cases: every graph, with lengths that are known and not, of messages short and long."""
    for name, links in graphs(size).items():
        for scale, known, to_all in product((1, ABOVE_A_PIECE), (True, False), (True, False)):
            if scale == 1 or "random" not in name:
                yield f"{name} {scale} {known} {to_all}", Case(links, torch.uint8, scale, known, to_all)
        yield f"{name} float", Case(links, torch.float32, 100, True, False)


def summaries(received: dict[int, Tensor]) -> list[list[Any]]:
    """Returns sender, type and checksum of every tensor, in order."""
    return [[rank, str(part.dtype), len(part), zlib.crc32(part.numpy())] for rank, part in received.items()]


def outcome(work: Work[dict[int, Tensor]]) -> list[Any]:
    return [work.bytes_sent, summaries(work.wait())]


def exchanges(transport: Transport) -> dict[str, list[Any]]:
    """Exchanges one after the other, under one name."""
    return {name: outcome(case.start(transport, "neighbours")) for name, case in cases(transport.size)}


def under_way(transport: Transport) -> list[list[Any]]:
    """All short exchanges under way at once, waited for in the opposite order."""
    short = [(name, case) for name, case in cases(transport.size) if case.scale < ABOVE_A_PIECE]
    works = [case.start(transport, name) for name, case in short]
    return [outcome(work) for work in reversed(works)]


def ahead(transport: Transport, aside: Transport) -> list[int]:
    """Rank 0 ends exchanges of ranks 1 and 2 before rank 2 begins them, hears rank 1, and then lets rank 2 begin."""
    rank, turns, mine = transport.rank, 50, torch.tensor([transport.rank], dtype=torch.uint8)
    if rank == 2:
        aside.neighbour_exchange({}, [0], [1], "begin").wait()
    other = [] if rank not in (1, 2) else [3 - rank]
    works = [
        transport.neighbour_exchange(dict.fromkeys(other, mine), other, sizes, f"turn {turn}")
        for turn, sizes in enumerate([[1] * len(other), None] * turns)
    ]
    if rank == 0:
        for work in works:
            work.wait()
    last = transport.neighbour_exchange({0: mine} if rank == 1 else {}, [1] if rank == 0 else [], None, "last")
    heard = last.wait()
    if rank != 2:
        aside.neighbour_exchange({2: mine} if rank == 0 else {}, [], [], "begin").wait()
    if rank != 0:
        heard = works[0].wait()
        assert all(work.wait() == heard for work in works[1:])
    return [int(part) for part in heard.values()]


@contextmanager
def few_tags(transport: Transport) -> Iterator[None]:
    """MPI has five tags inside the context; other transports have none."""
    if not hasattr(transport, "_channel"):
        yield
        return
    from hvd_qgenx.transport import mpi

    tags, mpi.TAGS = mpi.TAGS, 5
    yield
    mpi.TAGS = tags


def far_ahead(transport: Transport, aside: Transport) -> list[list[int]]:
    """Rank 0 sends more messages than a channel has tags before rank 1 begins to receive them."""
    rank = transport.rank
    if rank == 1:
        aside.neighbour_exchange({}, [0], [1], "begin").wait()
    heard: list[list[int]] = []
    for turn in range(20):
        sent = {1: torch.full((turn % 3,), turn, dtype=torch.uint8)} if rank == 0 else {}
        senders = [0] if rank == 1 else []
        sizes = [turn % 3] * len(senders) if turn % 2 else None
        heard += [part.tolist() for part in transport.neighbour_exchange(sent, senders, sizes, "far").wait().values()]
    if rank != 1:
        begin = torch.zeros(1, dtype=torch.uint8)
        aside.neighbour_exchange({1: begin} if rank == 0 else {}, [], [], "begin").wait()
    return heard


def wrapped(transport: Transport) -> list[list[Any]]:
    """Exchanges with and without rank 0 while the channel's tags begin anew."""
    channel = getattr(transport, "_channel", None)
    if channel is not None:
        from hvd_qgenx.transport.mpi import TAGS

        channel._tag = TAGS - 9
    found = [outcome(case.start(transport, "wrapped")) for _, case in cases(transport.size) if case.scale == 1]
    assert channel is None or channel._tag < TAGS // 2
    return found


def stalled(transport: Transport, beside: Transport) -> str:
    """Rank 1 begins an exchange when rank 0 has given up on it; returns rank 0's error."""
    from horovod.common.exceptions import HorovodInternalError

    rank, said = transport.rank, ""
    others = [other for other in range(transport.size) if other != rank] if rank == 0 else [0]

    def start() -> Work[dict[int, Tensor]]:
        sent = dict.fromkeys(others, torch.zeros(4))
        return transport.neighbour_exchange(sent, others, [4] * len(others), "gradients")

    work = None if rank == 1 else start()
    beside.all_gather_object(None, "begun")
    if rank == 0 and work is not None:
        limit, os.environ[STALL_SHUTDOWN] = os.environ[STALL_SHUTDOWN], "0.5"
        try:
            work.wait()
        except HorovodInternalError as error:
            said = str(error)
        os.environ[STALL_SHUTDOWN] = limit
    beside.all_gather_object(None, "given up")
    if rank != 0:
        (work or start()).wait()
    return said


def found_on(transport: Transport) -> dict[str, Any]:
    """Returns what threads and processes must have in common."""
    found: dict[str, Any] = {}
    for name, channel in (("named", transport), ("ordered", transport.ordered("test"))):
        found[name] = [exchanges(channel), under_way(channel)]
    aside = transport.ordered("aside")
    found["wrapped"] = wrapped(channel)
    with few_tags(channel):
        found["far ahead"] = far_ahead(channel, aside)
    if transport.size > 2:
        found["ahead"] = ahead(channel, aside)
    return found


if __name__ == "__main__":
    transport = launched()
    found = found_on(transport)
    error = stalled(transport.ordered("stalled"), transport)
    everyone = transport.all_gather_object(found, "results")
    if transport.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps({"found": everyone, "stalled": error}))
