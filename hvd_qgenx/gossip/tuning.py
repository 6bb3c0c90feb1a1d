"""Finds consensus step sizes by letting ranks gossip until they agree."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

import torch

from compressors import Compressor, Exempt
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Codec
from hvd_qgenx.gossip.consensus import ROUNDING, Record, check, gaussian_start, run
from hvd_qgenx.gossip.messages import Messages, fitting
from hvd_qgenx.gossip.mixings.base import Mixing, Rates
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.spectrum import analyse, consensus_step_size
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.transport.cores import one_thread

DIMENSION = 1000
"""Coordinates of the vectors that step sizes are found on."""
TRIALS = 32
"""Vectors that a compressor's quality is measured on."""
RELAXATIONS = 20
"""Length of a run in units of 1 / delta rounds."""
LEAST_ROUNDS, MOST_ROUNDS = 60, 400
AGREED = 1e-20
"""Error, over that of the start, at which ranks agree and a run is over: rates are compared, not ends."""
STEPS_DOWN = 12
"""Most halvings of the consensus step size in the search for the best."""
LONGER, MOST_LONGER_ROUNDS = 10, 4000
"""Times that a run is longer, and its most rounds, where it shows whether the error grows in the end."""
GROWN = 2.0
"""Factor of the error in the second half of such a run that is no noise."""
NUMBERS = 32_000
"""Most numbers of all ranks together, so that many ranks take no longer."""
RESERVE = 0.5
"""Share of the best step size that is safe for compressors that lose much; see ``safe_step``."""
STANDS_FOR = {"beer": "choco", "motef": "choco"}
"""Mixings whose consensus is that of another."""


@dataclass(frozen=True)
class Quality:
    """The contraction delta of a compressor: E||Q(x) - x||^2 <= (1 - delta) ||x||^2."""

    measured: float
    """Its value on Gaussian vectors."""
    bound: float
    """The value that theory guarantees for the same vectors."""


@dataclass(frozen=True)
class Tuning:
    """Consensus step sizes of a mixing with a compressor on a topology."""

    quality: Quality
    theory: float
    """With which convergence is proven; 0 where ranks never agree."""
    best: float
    """With which the error falls fastest, to a factor of 2^(1/4) either way."""
    rate: float
    """Factor of the error in a round, with the best."""
    largest_stable: float
    """The largest with which the error does not grow in a run of ten times the length."""
    safe: float
    """The step size that ``safe_step`` returns."""


@dataclass
class _Search:
    """Runs of one problem with different step sizes, each at most once."""

    mixing: type[Mixing]
    compressor: Compressor
    topology: Topology
    dimension: int
    rounds: int
    momentum: float = 0.0
    overlap: bool = False
    rates: dict[float, float] = field(default_factory=dict)
    """Logarithm of the error's factor in a round, by step size; infinite where it diverges."""

    def rate(self, step_size: float) -> float:
        """Returns the logarithm of the error's factor in a round."""
        if step_size not in self.rates:
            self.rates[step_size] = _rate(self._run(step_size, self.rounds))
        return self.rates[step_size]

    def best(self, highest: float) -> float:
        """Returns the step size with the best rate: by halving from the highest on, then between."""
        step_size = highest
        for _ in range(STEPS_DOWN):
            self.rate(step_size)
            if self._falls_from(step_size):
                break
            step_size /= 2
        for ratio in (2**0.5, 2**0.25):
            best = self._best_so_far()
            for candidate in (best * ratio, best / ratio):
                if candidate <= highest:
                    self.rate(candidate)
        return self._best_so_far()

    def largest_stable(self, highest: float) -> float:
        """Returns the largest step size, to a factor of 2^(1/4), whose error has not grown in the second half."""
        step_size = self._best_so_far()
        while not self._is_stable(step_size):
            step_size /= 2**0.5
        for ratio in (2**0.5, 2**0.25):
            while step_size * ratio <= highest and self._is_stable(step_size * ratio):
                step_size *= ratio
        return step_size

    def _best_so_far(self) -> float:
        return min(self.rates, key=self.rates.__getitem__)

    def _falls_from(self, step_size: float) -> bool:
        """Tells whether the best is behind: the last two halvings made it worse, or the last a lot."""
        best = self.rates[self._best_so_far()]
        return best < 0 and self.rates[step_size] > 0.7 * best and step_size < self._best_so_far()

    def _is_stable(self, step_size: float) -> bool:
        record = self._run(step_size, min(LONGER * self.rounds, MOST_LONGER_ROUNDS))
        half = record.moments[len(record.moments) // 2]
        grown = record.last.relative > max(ROUNDING, GROWN * half.relative)
        return record.diverged_at is None and not grown

    def _run(self, step_size: float, rounds: int) -> Record:
        start = gaussian_start(self.topology.size, self.dimension)
        problem = start, self.mixing, self.compressor, self.topology
        with one_thread():  # so that no sum depends on the number of cores
            return run(*problem, Rates(step_size), rounds, until=AGREED, momentum=self.momentum, overlap=self.overlap)


def tune(topology: Topology, compressor: Compressor, mixing: str = "choco", dimension: int = DIMENSION) -> Tuning:
    """Finds the best and the largest stable consensus step size, on Gaussian vectors.

    Args:
        topology: of ranks that send messages.
        compressor: as the user names it; it is fitted to the mixing.
        mixing: one that has a consensus step size.
        dimension: length of the vectors; 1000 stands for all that are longer.

    Raises:
        ConfigurationError: mixing, compressor and topology do not go together, or there is nothing to tune.
    """
    kind = MIXINGS[mixing]
    if not kind.tuned:
        raise ConfigurationError(f"{mixing} has no consensus step size; choco has one")
    spectrum = analyse(topology)
    if not spectrum.beta:
        raise ConfigurationError(f"ranks of {topology.name} send no messages, so there is nothing to tune")
    search, quality = _search(topology, compressor, kind, dimension)
    highest = _highest(spectrum.beta, quality.measured)
    best = search.best(highest)
    theory = consensus_step_size(spectrum.gap, spectrum.beta, min(quality.bound, 1.0)) if quality.bound > 0 else 0.0
    rate, stable = math.exp(search.rates[best]), search.largest_stable(highest)
    return Tuning(quality, theory, best, rate, stable, _safe(best, quality))


def safe_step(
    topology: Topology,
    compressor: Compressor,
    mixing: str = "choco",
    dimension: int = DIMENSION,
    momentum: float = 0.0,
    overlap: bool = False,
) -> float:
    """Returns a consensus step size for training: half of the best on Gaussian vectors, and at most 1.

    What training sends is not Gaussian, and many compressors lose more of it; precise ones, whose error is below a
    quarter, lose little of anything, and get a larger share of the best, up to all of it. The result is a function of
    the arguments. It takes about a second, and a few for 64 ranks.

    Args:
        topology: of the ranks.
        compressor: as the user names it, or as ``messages.fitting`` returns it.
        mixing: name of the method; those without a consensus step size get 1.
        dimension: length of the vectors that it is found on; 1000 stands for all that are longer.
        momentum: decay of the quasi-global momentum, which needs smaller steps: it repeats what gossip moves; 0: none.
        overlap: whether messages travel while the next gradient is computed.

    Raises:
        ConfigurationError: mixing, compressor and topology do not go together.
    """
    kind = MIXINGS[mixing]
    kind.check(topology)
    beta = analyse(topology).beta
    if not kind.tuned or not beta:
        return 1.0
    search, quality = _search(topology, compressor, kind, dimension, momentum)
    search.overlap = overlap
    best = search.best(_highest(beta, quality.measured))
    return _safe(best, quality)


def _safe(best: float, quality: Quality) -> float:
    """Returns the safe step size, with two digits: the rest depends on how machines add up."""
    share = max(RESERVE, 1 - 2 * (1 - quality.measured))
    return float(f"{min(1.0, share * best):.2g}")


def measure_quality(compressor: Compressor, dimension: int = DIMENSION) -> Quality:
    """Measures delta on ``TRIALS`` Gaussian vectors.

    Args:
        compressor: as ``messages.fitting`` returns it.
        dimension: length of the vectors.
    """
    messages = Messages(Codec([(compressor.for_rank(0, seed=0), dimension)], torch.float64))
    lost = bound = total = 0.0
    for vector in gaussian_start(TRIALS, dimension, seed=1):
        decoded = messages.decode(messages.encode(vector), torch.empty_like(vector))
        lost += float((decoded - vector).square().sum())
        bound += compressor.variance_bound(vector)
        total += float(vector.square().sum())
    return Quality(1 - lost / total, 1 - bound / total)


def _search(
    topology: Topology, compressor: Compressor, kind: type[Mixing], dimension: int, momentum: float = 0.0
) -> tuple[_Search, Quality]:
    """Returns the search, and the quality of the compressor, which decides the length of its runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever asked for this compressor has been warned
        fitted = fitting(compressor.inner if isinstance(compressor, Exempt) else compressor, kind).for_rank(0, seed=0)
    quality = measure_quality(fitted, min(dimension, DIMENSION))
    rounds = RELAXATIONS * (topology.period or 1) / max(quality.measured, 1e-6)
    kind = MIXINGS[STANDS_FOR.get(kind.name, kind.name)]
    check(kind, topology)
    length = int(min(MOST_ROUNDS, max(LEAST_ROUNDS, rounds)))
    width = max(1, min(dimension, DIMENSION, NUMBERS // topology.size))
    return _Search(kind, fitted, topology, width, length, momentum), quality


def _highest(beta: float, delta: float) -> float:
    """Returns where to look from downwards: the limit without compression, or much above what delta suggests."""
    return min(2 / beta, 8 * max(delta, 1e-3))


def _rate(record: Record) -> float:
    """Returns the logarithm of the error's factor in a round."""
    if record.diverged_at is not None:
        return math.inf
    return math.log(max(record.last.relative, 1e-300)) / record.last.round
