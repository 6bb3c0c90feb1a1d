"""Compressors whose mean over ranks takes several rounds of all-reduce."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from compressors.base import Compressor

if TYPE_CHECKING:
    from torch import Tensor


class Averaged(NamedTuple):
    """Outcome of the rounds of one vector."""

    mean: Tensor
    """The mean over ranks of the vectors ``own``."""
    own: Tensor | None
    """This rank's vector as it was compressed, if it was asked for."""


Rounds = Generator["Tensor", "Tensor", Averaged]
"""Yields vectors (float32), each to be replaced by its mean over ranks, which it is sent."""


@dataclass(eq=False)
class RoundsCompressor(Compressor):
    """The interface of compressors whose ranks average several vectors, of which a later one depends on earlier means.

    ``encode`` is that of a rank alone.
    """

    reduction = "rounds"

    @abstractmethod
    def rounds(self, vector: Tensor, keep_own: bool = False) -> Rounds:
        """Returns the rounds of a vector (1-D, the whole that ``lay_out`` described).

        With ``keep_own`` their outcome has this rank's vector as it was compressed.
        """
