"""Levels fitted to the gradients of all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from compressors.deferred import Deferred
from compressors.learning import Learner, LevelUpdate, Statistics
from compressors.leveled import LevelQuantizer
from compressors.parameters import parameter
from compressors.registry import register

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
    from torch import Tensor

    from compressors.levels import fit, objective, sets, statistics
else:
    np, sets = Deferred("numpy"), Deferred("compressors.levels.sets")
    objective = Deferred("compressors.levels.objective")
    fit, statistics = Deferred("compressors.levels.fit"), Deferred("compressors.levels.statistics")


@dataclass(eq=False)
class AdaptiveLevels(LevelQuantizer, Learner):
    """Levels of least expected variance; until the first level update those of NUQSGD, or even ones for linf.

    The distribution of magnitudes is a mixture over buckets weighted by their squared norms, so that
    its variance is the expected squared error: either of normals truncated to [-1, 1], with every
    sampled bucket's mean and standard deviation, or the histogram of the magnitudes themselves.
    Levels without a zero use all 2^bits codes, but send zeros as something else.

    Source: Faghri et al., "Adaptive Gradient Quantization for Data-Parallel SGD" (NeurIPS 2020);
    Ramezani-Kebrya et al., Q-GenX (ICLR 2023), section 3.
    """

    bits: int = parameter(3, "Bits per coordinate.", low=2, high=8)
    fitted_to: str = parameter(
        "histogram", "The distribution that levels are fitted to.", choices=("histogram", "normal")
    )
    zero: str = parameter("yes", "Is zero one of the levels?", choices=("yes", "no"))

    method: ClassVar[str]

    def first_levels(self) -> ArrayLike:
        if self.norm == "linf":
            return sets.uniform(self.bits, zero=self.has_zero)
        return sets.exponential(self.bits, zero=self.has_zero)

    @property
    def has_zero(self) -> bool:
        return self.zero == "yes"

    @property
    def learner(self) -> Learner:
        return self

    def observe(self, vector: Tensor) -> Statistics:
        return statistics.collect(vector, self.bucket_size, self.norm)

    def fit(self, everyone: Sequence[Statistics], bits: int | None = None) -> LevelUpdate:
        """Returns the update that fits the statistics of all ranks, for this many bits; by default as many as now."""
        normals, histogram = statistics.merge(everyone)
        distribution = normals if self.fitted_to == "normal" else histogram
        start = self if bits in (None, self.bits) else replace(self, bits=bits)
        found = fit.fit(self.method, distribution, np.array(start.levels))
        old = found.previous if start is self else objective.variance(np.array(self.levels), distribution)
        return LevelUpdate(self.version + 1, tuple(found.levels.tolist()), old, found.variance)

    def apply(self, update: LevelUpdate) -> None:
        self.version, self.bits = update.version, update.bits
        self.set_levels(update.levels)


@register("alq")
@dataclass(eq=False)
class CoordinateDescent(AdaptiveLevels):
    """ALQ: every level in turn goes to the optimum between its neighbours, until none moves."""

    method = "alq"


@register("alq-gd")
@dataclass(eq=False)
class GradientDescent(AdaptiveLevels):
    """ALQ by gradient descent, with steps that keep the levels in order."""

    method = "alq-gd"


@register("amq")
@dataclass(eq=False)
class Multiplier(AdaptiveLevels):
    """AMQ: exponential levels with the best ratio."""

    method = "amq"

    def first_levels(self) -> ArrayLike:
        return sets.exponential(self.bits, zero=self.has_zero)
