"""SwitchML's heuristic: integers at a scale that follows the largest coordinate of all ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors.deferred import Deferred
from compressors.integers import IntegerCompressor
from compressors.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


@register("hint")
@dataclass(eq=False)
class Hint(IntegerCompressor):
    """Integers at the largest power of two, as a scale, that clips none of any rank's coordinates.

    Ranks compare their largest magnitudes before each exchange: a round of its own, of four bytes, for which the
    whole vector must be known. Here for comparison with ``intsgd``, whose scale costs nothing.

    Source: Sapio et al., "Scaling Distributed Machine Learning with In-Network Aggregation" (NSDI 2021).
    """

    measures = True

    def measure(self, vector: Tensor) -> Tensor:
        """Returns the bytes of the largest magnitude, float32; NaN if there is one."""
        largest = vector.abs().max() if len(vector) else vector.new_zeros(())
        return largest.float().reshape(1).view(torch.uint8)

    def agree(self, everyone: Sequence[Tensor]) -> None:
        """Sets the scale; there is none if a magnitude is not finite, and then payloads are not compressed."""
        largest = float(torch.cat([part.clone().view(torch.float32) for part in everyone]).max())
        if not math.isfinite(largest):
            self.scales = None
        elif largest == 0:
            self.set_scales([1.0])
        else:
            self.set_scales([2.0 ** math.floor(math.log2(self.most / largest))])

    def fit(self, vector: Tensor) -> None:
        self.agree([self.measure(vector)])
