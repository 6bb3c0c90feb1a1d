"""The base of compressors that send what another sends, in another form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from compressors.base import Compressor, Shape
from compressors.learning import Learner


@dataclass(eq=False)
class Combinator(Compressor):
    """Has the random stream, the buckets and the levels of ``inner``."""

    inner: Compressor

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stream = self.inner.stream

    @property
    def alignment(self) -> int:
        return self.inner.alignment

    @property
    def learner(self) -> Learner | None:
        return self.inner.learner

    def lay_out(self, shapes: Sequence[Shape]) -> None:
        self.inner.lay_out(shapes)

    def for_rank(self, rank: int, seed: int | None = None, ranks: int = 1) -> Self:
        other = super().for_rank(rank, seed, ranks)
        other.inner = self.inner.for_rank(rank, seed, ranks)
        other.stream = other.inner.stream
        return other

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state)
