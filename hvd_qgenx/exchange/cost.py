"""What an exchange costs: seconds from latency, bandwidth, codec speed, ranks and coordinates.

K ranks, L of them on each of H hosts, hold d coordinates. A payload has P = b d / 8 bytes. A rank encodes
at E and decodes at D bytes of float32 a second. A collective takes

    g + m a + max(X / B, Y / M)

seconds: g until it starts (ranks agree that all have come), a for each of its m messages in turn, X bytes
through the link of one host at B bytes a second, Y bytes between the ranks of one host at M in all.
A ring is laid so that it enters and leaves each host once.

    collective                       m         X                      Y
    all-reduce of P, ring            2 (K-1)   2 (K-1)/K P            (L-1) X; L X on one host
    all-gather of p from each, ring  K-1       (K-1) p                (L-1) X; L X on one host
    all-to-all of p to each          K-1       L (K-L) p              L (L-1) p

    exchange       codec                            collectives
    all-reduce     4 d / E + 4 d / D                all-reduce of P
    all-gather     4 d / E + 4 K d / D              all-gather of P
    two-phase      4 d (1 + 1/K) / E + 8 d / D      all-to-all of P/K, all-gather of P/K
    hierarchical   two-phase of H ranks   within each host, all-reduce of 4 d and all-gather of 4 d / L;
                   with d / L             between hosts, all-to-all of P/H, all-gather of P/H

In S slices, n of them under way at once, an exchange takes (c + w + h) + (S-1) max(c, w, (c + w + h) / n)
seconds, where a slice costs c on the codec, w on the wire (which carries one collective at a time) and h
waiting for its collectives to start. One slice takes the sum of its parts; none of many is sooner than S w.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.optimize import nnls

from hvd_qgenx.exchange.base import IN_FLIGHT

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Machine:
    """Equal hosts on a switch, each with one link that sends and receives at once."""

    bandwidth: float = math.inf
    """B: bytes per second through a host's link."""
    latency: float = 0.0
    """a: seconds of a message, in which its collective carries nothing else."""
    negotiation: float = 0.0
    """g: seconds from handing over a collective to its start; other collectives hide it."""
    local_bandwidth: float = math.inf
    """M: bytes per second between the ranks of one host, all together."""


@dataclass(frozen=True)
class Ranks:
    """Where the ranks are."""

    hosts: int
    per_host: int = 1

    @property
    def total(self) -> int:
        return self.hosts * self.per_host


@dataclass(frozen=True)
class Codec:
    """A compressor as the model sees it."""

    bits: float = 32.0
    """b: of one coordinate on the wire, with its share of headers."""
    encode: float = math.inf
    """E: bytes of float32 encoded per second."""
    decode: float = math.inf
    """D: bytes of float32 decoded and added per second."""

    def payload_bytes(self, numel: float) -> float:
        return self.bits / 8 * numel

    def encode_seconds(self, numel: float) -> float:
        return FLOAT_BYTES * numel / self.encode

    def decode_seconds(self, numel: float) -> float:
        return FLOAT_BYTES * numel / self.decode

    def shared(self, ranks: int, cores: int) -> "Codec":
        """The speeds of each of ``ranks`` processes that share ``cores`` cores."""
        share = min(1.0, cores / ranks)
        return replace(self, encode=self.encode * share, decode=self.decode * share)


FP32 = Codec()


class Cost(Protocol):
    """Seconds of an exchange by one pattern."""

    def __call__(
        self, machine: Machine, ranks: Ranks, numel: float, codec: Codec = FP32, slices: int = 1, depth: int = IN_FLIGHT
    ) -> float: ...


def all_reduce(
    machine: Machine, ranks: Ranks, numel: float, codec: Codec = FP32, slices: int = 1, depth: int = IN_FLIGHT
) -> float:
    """Seconds of a ring all-reduce of payloads that can be added."""
    work = codec.encode_seconds(numel) + codec.decode_seconds(numel)
    wire = _reduce(machine, ranks, codec.payload_bytes(numel) / slices)
    return _pipelined(work / slices, wire, machine.negotiation, slices, depth)


def all_gather(
    machine: Machine, ranks: Ranks, numel: float, codec: Codec = FP32, slices: int = 1, depth: int = IN_FLIGHT
) -> float:
    """Seconds of an all-gather of payloads; every rank decodes them all."""
    work = codec.encode_seconds(numel) + codec.decode_seconds(ranks.total * numel)
    wire = _gather(machine, ranks, codec.payload_bytes(numel) / slices)
    return _pipelined(work / slices, wire, machine.negotiation, slices, depth)


def two_phase(
    machine: Machine, ranks: Ranks, numel: float, codec: Codec = FP32, slices: int = 1, depth: int = IN_FLIGHT
) -> float:
    """Seconds of a compressed scatter-reduce and all-gather."""
    work = codec.encode_seconds(numel * (1 + 1 / ranks.total)) + codec.decode_seconds(2 * numel)
    share = codec.payload_bytes(numel) / ranks.total / slices
    wire = _scatter(machine, ranks, share) + _gather(machine, ranks, share)
    return _pipelined(work / slices, wire, 2 * machine.negotiation, slices, depth)


def hierarchical(
    machine: Machine, ranks: Ranks, numel: float, codec: Codec = FP32, slices: int = 1, depth: int = IN_FLIGHT
) -> float:
    """Seconds of a mean inside every host, a two-phase exchange between hosts of each rank's share of it, and an
    all-gather of shares inside.
    """
    if ranks.per_host == 1:
        return two_phase(machine, ranks, numel, codec, slices, depth)
    hosts, inside = Ranks(ranks.hosts), Ranks(1, ranks.per_host)
    own = numel / ranks.per_host
    work = codec.encode_seconds(own * (1 + 1 / ranks.hosts)) + codec.decode_seconds(2 * own)
    host_bytes, chunk = FLOAT_BYTES * numel / slices, codec.payload_bytes(numel) / ranks.hosts / slices
    wire = (
        _reduce(machine, inside, host_bytes)
        + _scatter(machine, hosts, chunk)
        + _gather(machine, hosts, chunk)
        + _gather(machine, inside, host_bytes / ranks.per_host)
    )
    return _pipelined(work / slices, wire, 4 * machine.negotiation, slices, depth)


PATTERNS: dict[str, Cost] = {
    "allreduce": all_reduce,
    "allgather": all_gather,
    "two-phase": two_phase,
    "hierarchical": hierarchical,
}


def best_slices(
    machine: Machine,
    ranks: Ranks,
    numel: float,
    codec: Codec,
    depth: int = IN_FLIGHT,
    most: int = 256,
    pattern: Cost = two_phase,
) -> int:
    """The number of slices, at most ``most``, that costs least; the fewest of those that cost the same."""
    return min(range(1, most + 1), key=lambda slices: pattern(machine, ranks, numel, codec, slices, depth))


@dataclass(frozen=True)
class Observation:
    """An exchange whose time was taken."""

    pattern: str
    """A key of ``PATTERNS``."""
    ranks: Ranks
    numel: int
    codec: Codec
    seconds: float
    slices: int = 1
    depth: int = IN_FLIGHT

    def predicted(self, machine: Machine) -> float:
        """Seconds by the model."""
        cost = PATTERNS[self.pattern]
        return cost(machine, self.ranks, self.numel, self.codec, self.slices, self.depth)


def calibrate(observations: Sequence[Observation]) -> Machine:
    """The machine that explains the observations best: least squares of relative errors, no constant negative.

    A constant that no observation depends on keeps its default.

    Args:
        observations: in one slice, so that the model is linear in the constants (of bandwidths, the inverse).
    """
    units = [Machine(**{name: 1.0}) for name in ("bandwidth", "latency", "negotiation", "local_bandwidth")]
    codec = [observation.predicted(Machine()) for observation in observations]
    rows = [[o.predicted(unit) - alone for unit in units] for o, alone in zip(observations, codec, strict=True)]
    seconds = np.array([observation.seconds for observation in observations])
    (per_byte, latency, negotiation, per_local_byte), _ = nnls(np.array(rows) / seconds[:, None], 1 - codec / seconds)
    return Machine(_inverse(per_byte), float(latency), float(negotiation), _inverse(per_local_byte))


def _inverse(value: float) -> float:
    return 1 / float(value) if value > 0 else math.inf


def _ring(machine: Machine, ranks: Ranks, messages: int, sent: float) -> float:
    """Seconds on the wire when every rank sends so many bytes to the next."""
    one_host = ranks.hosts == 1
    link = 0.0 if one_host else sent
    return _wire(machine, messages, link, (ranks.per_host - (not one_host)) * sent)


def _reduce(machine: Machine, ranks: Ranks, payload: float) -> float:
    return _ring(machine, ranks, 2 * (ranks.total - 1), 2 * (ranks.total - 1) / ranks.total * payload)


def _gather(machine: Machine, ranks: Ranks, share: float) -> float:
    return _ring(machine, ranks, ranks.total - 1, (ranks.total - 1) * share)


def _scatter(machine: Machine, ranks: Ranks, share: float) -> float:
    link = ranks.per_host * (ranks.total - ranks.per_host) * share
    return _wire(machine, ranks.total - 1, link, ranks.per_host * (ranks.per_host - 1) * share)


def _wire(machine: Machine, messages: int, link: float, inside: float) -> float:
    return messages * machine.latency + max(link / machine.bandwidth, inside / machine.local_bandwidth)


def _pipelined(work: float, wire: float, start: float, slices: int, depth: int) -> float:
    """Seconds of slices that each cost ``work`` on the codec, ``wire`` on the wire, and ``start`` waiting."""
    lap = work + wire + start
    return lap + (slices - 1) * max(work, wire, lap / depth)
