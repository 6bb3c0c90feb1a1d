"""A model of the seconds that exchanges cost: latency, bandwidth, codec speed, ranks and coordinates.

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

In S slices, n of them under way at once, an exchange takes (c + w + h) + (S-1) max(c, w, (c + w + h) / n)
seconds, where a slice costs c on the codec, w on the wire (which carries one collective at a time) and h
waiting for its collectives to start. One slice takes the sum of its parts; none of many is sooner than S w.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

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
    """Number of hosts, and of ranks on each."""

    hosts: int
    per_host: int = 1

    @property
    def total(self) -> int:
        return self.hosts * self.per_host


@dataclass(frozen=True)
class CodecSpeed:
    """Size and speed of a compressor."""

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

    def shared(self, ranks: int, cores: int) -> "CodecSpeed":
        """Returns the speeds of each of ``ranks`` processes that share ``cores`` cores."""
        share = min(1.0, cores / ranks)
        return replace(self, encode=self.encode * share, decode=self.decode * share)


FP32 = CodecSpeed()


class SliceCost(NamedTuple):
    """Seconds that one slice costs."""

    codec: float
    """c: encoding and decoding."""
    wire: float
    """w: collectives, once they have started."""
    start: float
    """h: until its collectives start."""

    def pipelined(self, slices: int, depth: int) -> float:
        """Returns the seconds of so many slices, ``depth`` of them under way at once."""
        alone = sum(self)
        return alone + (slices - 1) * max(self.codec, self.wire, alone / depth)


def all_reduce(machine: Machine, ranks: Ranks, payload: float) -> float:
    """Returns the seconds on the wire of a ring all-reduce of ``payload`` bytes."""
    return _ring(machine, ranks, 2 * (ranks.total - 1), 2 * (ranks.total - 1) / ranks.total * payload)


def all_gather(machine: Machine, ranks: Ranks, share: float) -> float:
    """Returns the seconds on the wire of a ring all-gather of ``share`` bytes from each rank."""
    return _ring(machine, ranks, ranks.total - 1, (ranks.total - 1) * share)


def all_to_all(machine: Machine, ranks: Ranks, share: float) -> float:
    """Returns the seconds on the wire when every rank sends ``share`` bytes to each."""
    link = ranks.per_host * (ranks.total - ranks.per_host) * share
    return _wire(machine, ranks.total - 1, link, ranks.per_host * (ranks.per_host - 1) * share)


def _ring(machine: Machine, ranks: Ranks, messages: int, sent: float) -> float:
    """Seconds on the wire when every rank sends so many bytes to the next."""
    one_host = ranks.hosts == 1
    link = 0.0 if one_host else sent
    return _wire(machine, messages, link, (ranks.per_host - (not one_host)) * sent)


def _wire(machine: Machine, messages: int, link: float, inside: float) -> float:
    return messages * machine.latency + max(link / machine.bandwidth, inside / machine.local_bandwidth)
