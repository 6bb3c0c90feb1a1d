"""Times real exchanges of every candidate in turn, of sizes that the time allows."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from compressors.base import numel as numel_of
from hvd_qgenx import exchange as exchanges
from hvd_qgenx.bench.exchange import Ours, timed
from hvd_qgenx.bench.workloads import Workload
from hvd_qgenx.doctor.candidates import Candidate
from hvd_qgenx.transport import Transport

STEP = 8
"""Factor by which sizes grow, up to the whole."""
STEPS = 3
FIRST = 1 << 17
"""Upper limit of the smallest size, in coordinates."""
MOST = 1 << 25
"""Upper limit of the largest size, in coordinates, to bound memory."""
ROUNDS = 3
"""Timings of a size before the next one; the largest size that fits gets up to ``MOST_ROUNDS``."""
MOST_ROUNDS = 9
MARGIN = 0.8
"""Share of the remaining budget that planned exchanges may take; the rest is for preparation and wrong estimates."""


@dataclass
class Rehearsal:
    """The timings of one candidate."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    """Seconds of the slowest rank in every exchange, by number of coordinates."""
    bytes_sent: dict[int, int] = field(default_factory=dict)
    """Bytes sent by one rank in one exchange, by number of coordinates."""

    def median(self, numel: int) -> float:
        return statistics.median(self.seconds[numel])

    def grown(self, numel: int) -> tuple[float, float]:
        """Returns an estimate of seconds and bytes for ``numel`` coordinates, in proportion to the largest size timed.

        It is too large where the time has a constant part.
        """
        largest = max(self.seconds)
        return self.median(largest) * numel / largest, self.bytes_sent[largest] * numel / largest


@dataclass
class Budget:
    """The remaining time and bytes, the same on all ranks."""

    transport: Transport
    end: float
    """Time on rank 0's ``perf_counter``."""
    bytes: float

    def left(self) -> float:
        """Returns the remaining seconds. Collective."""
        return float(self.transport.broadcast_object(self.end - time.perf_counter(), "doctor.left"))


def rehearse(
    candidates: Sequence[Candidate],
    workload: Workload,
    transport: Transport,
    budget: Budget,
    expected: Callable[[Candidate, int], float],
) -> dict[Candidate, Rehearsal]:
    """Exchanges gradients of growing parts of a model, up to the whole if it fits into the budget. Collective.

    The result is the same on all ranks. A candidate of which not even the smallest part fits is left out.

    Args:
        candidates: in any order.
        workload: the whole model.
        transport: two ranks or more.
        budget: time and bytes; what is used is subtracted.
        expected: predicts the seconds of a candidate that was not timed yet, by number of coordinates.
    """
    stage = _Stage(transport, budget)
    found: dict[Candidate, Rehearsal] = {}
    going = list(candidates)
    for load in parts(workload):
        left = budget.left()
        known = {c: found[c].grown(load.numel) if c in found else (expected(c, load.numel), 0.0) for c in going}
        going = affordable(known, MARGIN * left / ROUNDS, budget.bytes / ROUNDS)
        going = stage.prepare(going, load)
        stage.play(going, found, ROUNDS, forget=1)  # connections open, kernels load, memory is touched first
    while again := _again(found, budget.left(), budget.bytes):
        stage.play(again, found, rounds=1)
    return found


def parts(workload: Workload) -> list[Workload]:
    """Returns parts of the workload of growing size, up to its own or ``MOST``.

    Tensors of two dimensions and more are all cut to the same share; the rest is small and stays whole.
    """
    whole = min(1.0, MOST / workload.numel)
    first = min(whole / STEP ** (STEPS - 1), FIRST / workload.numel)
    ratio = (whole / first) ** (1 / (STEPS - 1))
    shares = sorted({min(whole, first * ratio**step) for step in range(STEPS - 1)} | {whole})
    made = [_part(workload, share) for share in shares]
    return list({load.numel: load for load in made}.values())


def _part(workload: Workload, share: float) -> Workload:
    if share == 1:
        return workload
    shapes = [shape if len(shape) < 2 else (1, max(1, round(share * numel_of(shape)))) for shape in workload.shapes]
    return Workload(workload.name, tuple(shapes))


def affordable(
    seconds_and_bytes: Mapping[Candidate, tuple[float, float]], seconds: float, size: float
) -> list[Candidate]:
    """Returns the candidates that fit into the seconds and bytes together, chosen quickest first, in order."""
    chosen = set()
    for candidate, (takes, sends) in sorted(seconds_and_bytes.items(), key=lambda item: item[1]):
        seconds, size = seconds - takes, size - sends
        if seconds < 0 or size < 0:
            break
        chosen.add(candidate)
    return [candidate for candidate in seconds_and_bytes if candidate in chosen]


def _again(found: Mapping[Candidate, Rehearsal], seconds: float, size: float) -> list[Candidate]:
    """Returns the candidates whose largest size is to be timed once more."""
    open_ = {c: r.grown(max(r.seconds)) for c, r in found.items() if len(r.seconds[max(r.seconds)]) < MOST_ROUNDS}
    return affordable(open_, MARGIN * seconds, size)


class _Stage:
    """The candidates' optimizers, each with gradients of its largest size so far."""

    def __init__(self, transport: Transport, budget: Budget) -> None:
        self.transport, self.budget = transport, budget
        self._exchanges: dict[str, exchanges.Exchange] = {}
        self._systems: dict[Candidate, Ours] = {}
        self._gradients: dict[Candidate, list[Tensor]] = {}

    def prepare(self, candidates: Sequence[Candidate], load: Workload) -> list[Candidate]:
        """Makes the candidates' optimizers for a size; returns the candidates that were ready before time was up."""
        gradients = load.gradients(self.transport.rank) if candidates else []
        made = []
        for candidate in candidates:
            if self.budget.left() <= 0:
                break
            if candidate.exchange not in self._exchanges:
                self._exchanges[candidate.exchange] = exchanges.make(candidate.exchange, self.transport)
            exchange = self._exchanges[candidate.exchange]
            self._systems[candidate] = Ours(str(candidate), load, candidate.compressor, exchange)
            self._gradients[candidate] = gradients
            made.append(candidate)
        return made

    def play(
        self, candidates: Sequence[Candidate], found: dict[Candidate, Rehearsal], rounds: int, forget: int = 0
    ) -> None:
        """Times every candidate once in each round, after ``forget`` warm-up rounds; stops when time is up."""
        mine: list[list[tuple[float, int]]] = []
        while len(mine) < rounds and (len(mine) <= forget or self.budget.left() > 0):
            mine.append([self._time(candidate) for candidate in candidates])
        everyone = self.transport.all_gather_object(mine, "doctor.rehearsal")
        for number, candidate in enumerate(candidates):
            rehearsal = found.setdefault(candidate, Rehearsal())
            numel = sum(map(Tensor.numel, self._gradients[candidate]))
            slowest = [max(theirs[at][number] for theirs in everyone) for at in range(len(mine))]
            rehearsal.seconds.setdefault(numel, []).extend(seconds for seconds, _ in slowest[forget:])
            rehearsal.bytes_sent[numel] = max(theirs[-1][number][1] for theirs in everyone)
            self.budget.bytes -= len(mine) * rehearsal.bytes_sent[numel]

    def _time(self, candidate: Candidate) -> tuple[float, int]:
        seconds, report = timed(self._systems[candidate], self._gradients[candidate], self.transport)
        return seconds, report.bytes_sent
