"""A combinator that gives every group of tensors levels, and bits, of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from compressors import parameters
from compressors.adaptive import AdaptiveLevels
from compressors.base import Compressor
from compressors.deferred import Deferred
from compressors.exempt import Exempt
from compressors.learning import Learner, LevelUpdate, Statistics
from compressors.naming import shortened
from compressors.random import derive
from compressors.routing import Routing

if TYPE_CHECKING:
    import numpy as np

    from compressors.levels import objective, statistics, widths
else:
    np = Deferred("numpy")
    objective, statistics = Deferred("compressors.levels.objective"), Deferred("compressors.levels.statistics")
    widths = Deferred("compressors.levels.widths")

KINDS = ("convolution", "linear", "norm")
"""Groups of tensors of which only the shape is known."""


@dataclass(eq=False)
class LayerWise(Routing):
    """Combinator: groups of tensors, such as all convolutions, have levels of their own, fitted to their gradients.

    Every group is compressed by a copy of ``inner`` with a random stream of its own. With levels of its own no group's
    expected error is above the one with levels fitted to all tensors at once.

    With ``layer_bits`` other than ``equal``, a level update also gives every group a width from 2 to 8 bits, so that
    the mean over coordinates is at most that of ``inner`` and an error is least: with ``global`` that of all tensors,
    ||Q(x) - x||^2; with ``per-layer`` the sum over groups of ||Q(x) - x||^2 / ||x||^2.

    Args:
        inner: a compressor with adaptive levels, or one that entropy-codes their symbols.
        groups: names of tensors, as ``named_parameters`` has them, with the names of their groups; where players of a
            game share an optimizer, PLAYER.NAME. None: tensors of three dimensions or more, two, and fewer are groups.

    Raises:
        ValueError: ``inner`` has no such levels, or ``groups`` is empty.

    Source: QODA (arXiv 2505.14371), layer-wise quantization.

    Examples:
        >>> import compressors
        >>> q = LayerWise(compressors.make("alq", bits=3), {"conv.weight": "convolution", "fc.weight": "linear"})
        >>> q.route((10, 64), "fc.weight") is q.parts["linear"]
        True
    """

    inner: Compressor
    groups: Mapping[str, str] | None = None
    layer_bits: str = parameters.parameter(
        "equal", "Which error the widths of groups make least.", choices=("equal", "global", "per-layer")
    )

    name = "layer-wise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.inner.learner, AdaptiveLevels):
            raise ValueError(f"{self.inner.name} has no levels to adapt to groups of tensors; alq, alq-gd and amq have")
        if self.groups is not None and not self.groups:
            raise ValueError("there are no tensors to group")
        self.groups = dict(self.groups) if self.groups else None
        names = KINDS if self.groups is None else sorted(set(self.groups.values()))
        stream = self.inner.stream
        self.parts = {name: self.inner.for_rank(stream.rank) for name in names}
        """The compressor of every group."""
        self._seed(stream.seed)

    def _seed(self, seed: int) -> None:
        for number, part in enumerate(self.parts.values(), 1):
            part.stream.seed = derive(seed, number) >> 1

    @property
    def exact_size(self) -> bool:  # type: ignore[override]
        return self.inner.exact_size

    @property
    def learner(self) -> Learner | None:
        """The learner of ``inner``, which serves no tensor; ``learners`` has those of the groups."""
        return self.inner.learner

    @property
    def learners(self) -> dict[str, AdaptiveLevels]:
        """The levels of every group."""
        return {group: _levels(part) for group, part in self.parts.items()}

    def group(self, shape: Sequence[int], name: str | None = None) -> str:
        """Returns the group of a tensor.

        Raises:
            ValueError: there are groups by name, and none has it.
        """
        if self.groups is None:
            return kind_of_shape(shape)
        if name is None:
            raise ValueError(f"{self.name}: groups by name need the names of tensors; give named_parameters")
        if name not in self.groups:
            raise ValueError(
                f"no group of levels has the tensor {name!r}; there are {shortened(', '.join(self.parts))}"
            )
        return self.groups[name]

    def route(self, shape: Sequence[int], name: str | None = None) -> Compressor:
        return self.parts[self.group(shape, name)]

    def fit(self, observed: Mapping[str, Sequence[Statistics]], sizes: Mapping[str, int]) -> dict[str, LevelUpdate]:
        """Returns the updates that fit the statistics of all ranks, by group. Changes nothing.

        Args:
            observed: statistics of every rank, by group.
            sizes: coordinates of these groups on one rank.
        """
        learners = self.learners
        if self.layer_bits == "equal":
            return {group: learners[group].fit(everyone) for group, everyone in observed.items()}
        histograms = {group: statistics.merge(everyone)[1] for group, everyone in observed.items()}

        @cache
        def update(group: str, bits: int) -> LevelUpdate:
            return learners[group].fit(observed[group], bits)

        def error(group: str, bits: int) -> float:
            relative = objective.relative_error(np.array(update(group, bits).levels), histograms[group])
            return relative * (statistics.energy(observed[group]) if self.layer_bits == "global" else 1.0)

        chosen = widths.share_out(error, sizes, _levels(self.inner).bits)
        return {group: update(group, bits) for group, bits in chosen.items()}

    def apply(self, updates: Mapping[str, LevelUpdate]) -> None:
        """Takes the new levels of these groups."""
        for group, update in updates.items():
            self.learners[group].apply(update)

    def for_rank(self, rank: int, seed: int | None = None, ranks: int = 1) -> Self:
        other = super().for_rank(rank, seed, ranks)
        other.inner = self.inner.for_rank(rank, seed, ranks)
        other.parts = {group: part.for_rank(rank, ranks=ranks) for group, part in self.parts.items()}
        if seed is not None:
            other._seed(seed)
        return other

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of every group; levels that are still the first ones are left to the configuration."""
        states = {f"group {group}": part.state_dict() for group, part in self.parts.items()}
        for state in states.values():
            state["levels"] = state["levels"] if state["version"] else []
        return {"groups": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for group, part in self.parts.items():
            stored, levels = state["groups"][f"group {group}"], _levels(part)
            found = stored["levels"] or list(_levels(self.inner).levels)
            if self.layer_bits != "equal":
                levels.bits = len(found).bit_length()
            part.load_state_dict({**stored, "levels": found})


def layer_wise(compression: Compressor) -> LayerWise | None:
    """Returns the part of a compressor that gives groups of tensors levels of their own, if it has one."""
    found = compression.inner if isinstance(compression, Exempt) else compression
    return found if isinstance(found, LayerWise) else None


def kind_of_shape(shape: Sequence[int]) -> str:
    """Returns the kind of layer that a tensor of this shape is mostly found in, one of ``KINDS``."""
    return KINDS[0] if len(shape) > 2 else KINDS[1] if len(shape) == 2 else KINDS[2]


def _levels(compressor: Compressor) -> AdaptiveLevels:
    learner = compressor.learner
    assert isinstance(learner, AdaptiveLevels)
    return learner
