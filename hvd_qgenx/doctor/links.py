"""Measures bandwidth and latency between ranks."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hvd_qgenx.transport import Transport

FIRST_BYTES, MOST_BYTES = 1 << 16, 1 << 25
GROWTH = 8
ENOUGH_SECONDS = 0.05
"""Seconds of one message from which its start-up is negligible."""
REPEATS = 3
"""Number of messages of the largest size; the quickest counts, since the others were disturbed by other traffic."""
GREETINGS = 5
SLOW = 0.5
"""A pair slower than this share of the median pair is reported."""


@dataclass(frozen=True)
class Links:
    """The links between pairs of ranks: one rank of each host, or all ranks of a single host."""

    ranks: tuple[int, ...]
    hosts: tuple[str, ...]
    """The host names of ``ranks``."""
    latency: dict[tuple[int, int], float]
    """Seconds until both ranks of a pair have received a byte; keys are pairs of indices into ``ranks``."""
    bandwidth: dict[tuple[int, int], float]
    """Bytes per second in each direction, with both in use."""
    start: float
    """Seconds of one of Horovod's own collectives with one byte."""
    bytes_sent: int
    """Bytes sent by one rank for this measurement."""

    @property
    def one_host(self) -> bool:
        return len(set(self.hosts)) == 1

    def typical_latency(self) -> float:
        return statistics.median(self.latency.values())

    def typical_bandwidth(self) -> float:
        return statistics.median(self.bandwidth.values())

    def least_bandwidth(self) -> float:
        """Returns the bandwidth of the slowest link, which limits a ring."""
        return min(self.bandwidth.values())

    def slow(self) -> list[str]:
        """Returns the names of hosts or pairs whose links are much slower than most."""
        slow = {pair for pair, speed in self.bandwidth.items() if speed < SLOW * self.typical_bandwidth()}
        places = range(len(self.ranks))
        all_slow = [p for p in places if len(places) > 2 and slow.issuperset(q for q in self.bandwidth if p in q)]
        rest = [pair for pair in sorted(slow) if not set(pair) & set(all_slow)]
        return [self.name(place) for place in all_slow] + [f"{self.name(a)} to {self.name(b)}" for a, b in rest]

    def name(self, place: int) -> str:
        return f"rank {self.ranks[place]}" if self.one_host else self.hosts[place]


def measure(transport: Transport, seconds: float, most_bytes: float) -> Links:
    """Measures the links between all pairs of ranks, disjoint pairs at the same time. Collective.

    Args:
        transport: two ranks or more.
        seconds: approximate time to spend; no message is longer than ``MOST_BYTES``.
        most_bytes: largest number of bytes to send from one rank, unless the smallest messages exceed it already.
    """
    began = time.perf_counter()
    channel = transport.ordered("doctor.links")
    hosts = transport.hosts()
    ranks = [own[0] for own in hosts] if len(hosts) > 1 else hosts[0]
    names = transport.all_gather_object(transport.host(), "doctor.hosts")
    pairs = Pairs(channel, ranks)
    for _ in range(2):  # connections open
        pairs.exchange(1)
    greetings = [pairs.exchange(1) for _ in range(GREETINGS)]
    starts = [_start(transport) for _ in range(GREETINGS)]
    size = FIRST_BYTES
    while True:
        before = time.perf_counter()
        taken = pairs.exchange(size)
        now = time.perf_counter()
        next_ends = transport.all_gather_object(now - began + REPEATS * GROWTH * (now - before), "doctor.links.time")
        longest = min(MOST_BYTES, most_bytes / len(ranks) / (REPEATS + 1))  # more than all before it
        if min(taken.values()) > ENOUGH_SECONDS or size * GROWTH > longest or max(next_ends) > seconds:
            break
        size *= GROWTH
    rounds = [taken, *(pairs.exchange(size) for _ in range(1, REPEATS))]
    seconds_of = {pair: min(taken[pair] for taken in rounds) for pair in taken}
    latency = {pair: statistics.median(greeting[pair] for greeting in greetings) for pair in taken}
    return Links(
        tuple(ranks),
        tuple(names[rank] for rank in ranks),
        latency,
        {pair: size / max(own - latency[pair], own / 2) for pair, own in seconds_of.items()},
        max(transport.all_gather_object(statistics.median(starts), "doctor.links.start")),
        pairs.bytes_sent,
    )


class Pairs:
    """Exchanges messages between pairs of ranks."""

    def __init__(self, transport: Transport, ranks: list[int]) -> None:
        self.transport, self.ranks = transport, ranks
        self.place = ranks.index(transport.rank) if transport.rank in ranks else None
        self.bytes_sent = 0

    def exchange(self, size: int) -> dict[tuple[int, int], float]:
        """Returns the seconds until both ranks of a pair have ``size`` bytes of each other, by indices in ``ranks``."""
        mine = [(place, self._with(place, size)) for place in self._partners()]
        found: dict[tuple[int, int], float] = {}
        everyone = self.transport.all_gather_object(mine, "doctor.pairs")
        for place, rank in enumerate(self.ranks):
            for other, seconds in everyone[rank]:
                if other is not None:
                    pair = min(place, other), max(place, other)
                    found[pair] = max(found.get(pair, 0.0), seconds)
        return dict(sorted(found.items()))

    def _partners(self) -> Iterator[int | None]:
        """Yields this rank's only partner in every round; over all rounds every pair occurs."""
        count = len(self.ranks)
        for number in range(count):
            partner = None if self.place is None else (number - self.place) % count
            yield None if partner == self.place else partner

    def _with(self, partner: int | None, size: int) -> float:
        sizes = [0] * self.transport.size
        if partner is not None:
            sizes[self.ranks[partner]] = size
        message = torch.zeros(sum(sizes), dtype=torch.uint8)
        self.bytes_sent += len(message)
        _start(self.transport)
        began = time.perf_counter()
        self.transport.all_to_all(message, sizes, "doctor.pair", sizes).wait()
        return time.perf_counter() - began


def _start(transport: Transport) -> float:
    """Returns the seconds of a collective of one byte; it acts as a barrier."""
    began = time.perf_counter()
    transport.all_gather(torch.zeros(1, dtype=torch.uint8), [1] * transport.size, "doctor.start").wait()
    return time.perf_counter() - began
