"""Cases of consensus, and their runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from compressors import Compressor
from hvd_qgenx.gossip import consensus
from hvd_qgenx.gossip.choices import StepSize
from hvd_qgenx.gossip.consensus import Record
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.base import Rates
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.transport.cores import one_thread


class Names(NamedTuple):
    """The names of a case in reports; cases of one comparison differ in some of them."""

    mixing: str
    compressor: str
    topology: str
    ranks: int


@dataclass(frozen=True)
class Length:
    """The length of runs, in rounds or in messages that a rank sends."""

    rounds: int | None = None
    messages: float | None = None

    def rounds_on(self, topology: Topology) -> int:
        """Returns the number of rounds on a topology."""
        return self.rounds if self.rounds is not None else consensus.rounds_of(topology, self.messages or 0.0)


@dataclass(frozen=True)
class Case:
    """A mixing with a compressor on a topology, at a consensus step size or at the best of some."""

    names: Names
    topology: Topology
    compressor: Compressor
    step_size: StepSize
    memory: float
    drop: float

    def candidates(self, dimension: int) -> tuple[float, ...]:
        """Returns the consensus step sizes to run with."""
        return self.step_size.candidates(self.topology, self.compressor, self.names.mixing, dimension)

    def run(self, step_size: float, start: Tensor, length: Length, seed: int) -> Record:
        """Runs the case once; the start is float64 (ranks, d)."""
        mixing = MIXINGS[self.names.mixing]
        compressor = fitting(self.compressor, mixing).for_rank(0, seed=seed)
        rates, rounds = Rates(step_size, self.memory), length.rounds_on(self.topology)
        with one_thread():
            return consensus.run(start, mixing, compressor, self.topology, rates, rounds, self.drop, seed)


@dataclass(frozen=True)
class Outcome:
    """The runs of a case, one for every seed, at the best of its consensus step sizes."""

    case: Case
    step_size: float
    records: Sequence[Record]
    tried: Sequence[float]
    """All step sizes."""
    rounds: int
    """Planned length of the runs."""

    @property
    def error(self) -> float:
        """Geometric mean over seeds of the error at the end, over that of the start; infinite where one diverges."""
        if any(record.diverged_at is not None for record in self.records):
            return math.inf
        logarithms = [math.log(max(record.last.relative, 1e-300)) for record in self.records]
        return math.exp(sum(logarithms) / len(logarithms))

    @classmethod
    def best(cls, outcomes: Sequence[Outcome]) -> Outcome:
        """Returns the outcome with the least error; of several that diverge, the one that diverges last."""

        def rank(outcome: Outcome) -> tuple[float, int]:
            return outcome.error, -min(record.diverged_at or 0 for record in outcome.records)

        return min(outcomes, key=rank)


@dataclass(frozen=True)
class Starts:
    """The vectors that ranks begin with."""

    dimension: int
    given: Tensor | None = None
    """Float64 (ranks, d); None: Gaussian."""

    def of(self, ranks: int, seed: int) -> Tensor:
        """Returns the start of a number of ranks and a seed."""
        return consensus.gaussian_start(ranks, self.dimension, seed) if self.given is None else self.given


def runs(cases: Sequence[Case], starts: Starts, length: Length, seeds: Sequence[int]) -> Iterator[Outcome]:
    """Yields the outcome of every case, in order."""
    for case in cases:
        tried = case.candidates(starts.dimension)
        outcomes = []
        for step_size in tried:
            records = [case.run(step_size, starts.of(case.names.ranks, seed), length, seed) for seed in seeds]
            outcomes.append(Outcome(case, step_size, records, tried, length.rounds_on(case.topology)))
        yield Outcome.best(outcomes)
