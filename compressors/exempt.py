"""A combinator that leaves small tensors uncompressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from compressors import parameters
from compressors.base import Compressor, numel
from compressors.identity import Beside, Identity
from compressors.learning import Learner
from compressors.routing import Routing


@dataclass(eq=False)
class Exempt(Routing):
    """Combinator: sends biases, norm gains and other small tensors uncompressed.

    Tensors with fewer than two dimensions, or fewer than ``min_numel`` elements, go to ``rest``;
    the others to ``inner``. Such tensors are a negligible part of the bytes and often the most
    sensitive to noise.

    Examples:
        >>> import compressors
        >>> q = Exempt(compressors.make("minmax", bits=4))
        >>> q.route((64, 64)).name, q.route((64,)).name
        ('minmax', 'none')
    """

    inner: Compressor
    rest: Compressor = field(default_factory=Identity)
    min_numel: int = parameters.parameter(256, "Tensors with fewer elements are not compressed.", low=0)

    name = "exempt"

    @property
    def exact_size(self) -> bool:  # type: ignore[override]
        return self.inner.exact_size and self.rest.exact_size

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.rest) is Identity and self.inner.reduction in ("sum", "rounds"):
            self.rest = Beside()

    def route(self, shape: Sequence[int], name: str | None = None) -> Compressor:
        small = len(shape) < 2 or numel(shape) < self.min_numel
        return self.rest if small else self.inner.route(shape, name)

    @property
    def learner(self) -> Learner | None:
        return self.inner.learner

    def for_rank(self, rank: int, seed: int | None = None, ranks: int = 1) -> Self:
        other = super().for_rank(rank, seed, ranks)
        other.inner, other.rest = self.inner.for_rank(rank, seed, ranks), self.rest.for_rank(rank, seed, ranks)
        return other

    def state_dict(self) -> dict[str, Any]:
        return {"inner": self.inner.state_dict(), "rest": self.rest.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state["inner"])
        self.rest.load_state_dict(state["rest"])
