"""Plain consensus: ranks that have different vectors, no gradients, and compressed messages."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from compressors import Compressor
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.mixings.base import Mixing, Rates
from hvd_qgenx.gossip.points import SimulatedPoints
from hvd_qgenx.gossip.simulated import Simulated
from hvd_qgenx.gossip.topology import Topology

DIVERGED = 1e6
"""A run whose error is so many times that of its start, or not finite, has diverged."""
RECORDS = 200
"""Records of a run beside the start, at most."""
STALLED = 0.9
"""A run that ends with more than this share of its error at half time does not converge."""
ROUNDING = 1e-13
"""Errors below this share of the start are rounding: messages have float32 numbers."""
REFUSED = {
    "dcd": "its parameters are what compression makes of them, so their mean is not that of the start",
    "ecd": "its parameters are what compression makes of them, so their mean is not that of the start",
    "beer": "it mixes parameters as choco does, and tracks gradients, which there are none of",
    "motef": "it mixes parameters as choco does, and tracks gradients, which there are none of",
    "relay": "it takes means of vectors of different rounds, which do not keep the mean of the start",
}
"""Mixings without a consensus of their own, and why."""


@dataclass(frozen=True)
class Moment:
    """The state after a number of rounds."""

    round: int
    messages: float
    """Messages that a rank has sent; mean over ranks."""
    bits: float
    """Bits that a rank has sent; mean over ranks."""
    error: float
    """Mean over ranks of ||x_i - mean||^2, where the mean is that of the start."""
    relative: float
    """The same, over that of the start."""


@dataclass(frozen=True)
class Record:
    """The course of one run."""

    consensus_step_size: float
    moments: list[Moment]
    """In order of rounds; the first is the start."""
    diverged_at: int | None = None
    """The round that ended the run early."""

    @property
    def last(self) -> Moment:
        return self.moments[-1]

    def verdict(self) -> str:
        """Returns how the run went, and what to do if it did not converge; empty if it did."""
        size = f"the consensus step size {self.consensus_step_size:g}"
        if self.diverged_at is not None:
            return f"diverges in round {self.diverged_at}: {size} is above the stability limit; lower it"
        half = self.moments[len(self.moments) // 2]
        if self.last.relative > ROUNDING and self.last.error > STALLED * half.error:
            return f"does not converge: lower {size}, or take a more precise compressor"
        return ""


def check(mixing: type[Mixing], topology: Topology) -> None:
    """Raises ConfigurationError if a mixing has no consensus of its own, or does not work on the topology."""
    if mixing.name in REFUSED:
        raise ConfigurationError(f"there is no consensus by {mixing.name}: {REFUSED[mixing.name]}; use choco")
    mixing.check(topology)


def run(
    start: Tensor,
    mixing: type[Mixing],
    compressor: Compressor,
    topology: Topology,
    rates: Rates,
    rounds: int,
    drop: float = 0.0,
    seed: int = 0,
    until: float = 0.0,
    momentum: float = 0.0,
    overlap: bool = False,
) -> Record:
    """Lets ranks gossip until they agree, or for a number of rounds.

    Replicas are zero at the start, as ranks know nothing of each other.

    Args:
        start: the ranks' vectors, float64 (n, d); they are copied.
        mixing: the method.
        compressor: as ``messages.fitting`` returns it.
        topology: of the n ranks.
        rates: consensus step size and memory.
        rounds: length of the run.
        drop: share of the messages that are lost.
        seed: decides which.
        until: error, over that of the start, at which the run is over.
        momentum: decay of a quasi-global momentum, which carries on how vectors move by gossip; 0: none.
        overlap: whether a message is heard one round later, as where it travels while a gradient is computed.

    Raises:
        ConfigurationError: the mixing has no consensus of its own, or does not work on the topology.
    """
    check(mixing, topology)
    every = max(1, rounds // RECORDS)
    moments: list[Moment] = []
    for moment in moments_of(start, mixing, compressor, topology, rates, drop, seed, momentum, overlap):
        if not moment.relative <= DIVERGED:
            return Record(rates.consensus, moments, moment.round)
        last = moment.round == rounds or moment.relative <= until
        if moment.round % every == 0 or last:
            moments.append(moment)
        if last:
            break
    return Record(rates.consensus, moments)


def moments_of(
    start: Tensor,
    mixing: type[Mixing],
    compressor: Compressor,
    topology: Topology,
    rates: Rates,
    drop: float = 0.0,
    seed: int = 0,
    momentum: float = 0.0,
    overlap: bool = False,
) -> Iterator[Moment]:
    """Yields the start and the state after every round, without end; the arguments are those of ``run``."""
    x, mean = start.clone(), start.mean(0)
    carrier = Simulated(topology, compressor, start.shape[1], start.dtype, drop, seed)
    points = SimulatedPoints(x, mixing, carrier, rates, momentum, overlap)
    first, ranks = _error(x, mean), topology.size
    for number in itertools.count():
        error = _error(x, mean)
        sent = carrier.messages_sent / ranks, 8 * carrier.bytes_sent / ranks
        yield Moment(number, *sent, error, error / first if first else 0.0)
        points.step(torch.zeros_like(x), 1.0)


def messages_in(topology: Topology, step: int) -> float:
    """Returns the messages that a rank sends at a step; mean over ranks."""
    return sum(len(topology.links(rank, step).told) for rank in range(topology.size)) / topology.size


def messages_in_period(topology: Topology) -> float | None:
    """Returns the messages that a rank sends in a period; mean over ranks; None if there is no period."""
    if topology.period is None:
        return None
    return sum(messages_in(topology, step) for step in range(topology.period))


def rounds_of(topology: Topology, messages: float) -> int:
    """Returns the least number of rounds in which a rank sends so many messages; mean over ranks.

    Raises:
        ConfigurationError: ranks of this topology send none.
    """
    period, in_period = topology.period, messages_in_period(topology)
    if topology.size == 1 or (period is not None and not in_period):
        raise ConfigurationError(f"ranks of {topology.name} send no messages; give a number of rounds")
    whole = max(0, math.ceil(messages / in_period) - 1) if in_period else 0
    rounds, sent = whole * (period or 0), whole * (in_period or 0)
    while sent < messages * (1 - 1e-12):
        sent += messages_in(topology, rounds)
        rounds += 1
    return rounds


def _error(x: Tensor, mean: Tensor) -> float:
    return float((x - mean).square_().sum()) / len(x)


def gaussian_start(ranks: int, dimension: int, seed: int = 0) -> Tensor:
    """Returns independent N(0, 1), float64 (ranks, dimension), a function of the seed."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(ranks, dimension, generator=random, dtype=torch.float64)
