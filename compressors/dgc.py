"""Deep gradient compression's top-k, of which the ratio falls at the beginning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressors.parameters import parameter
from compressors.registry import register
from compressors.topk import TopK


@register("dgc")
@dataclass(eq=False)
class DGC(TopK):
    """Top-k whose ratio falls from a quarter to ``ratio`` over the first exchanges, by a constant factor.

    The rest of the method is on the way: momentum before the exchange, whose coordinates begin anew once they are sent
    (``DistributedOptimizer(local_momentum=True)``), error feedback, and clipping before both (``local_clip``).

    Source: Lin, Han, Mao, Wang and Dally, "Deep Gradient Compression" (ICLR 2018).
    """

    ratio: float = parameter(0.001, "Share of coordinates that is sent, at least one per bucket.", low=1e-4, high=1.0)
    warmup: int = parameter(0, "Exchanges over which the ratio falls to its value.", low=0)

    masks: ClassVar[bool] = True

    FIRST: ClassVar[float] = 0.25

    @property
    def ratio_now(self) -> float:
        done = max(0, self.stream.step - 1)
        if done >= self.warmup or self.ratio >= self.FIRST:
            return self.ratio
        return float(self.FIRST * (self.ratio / self.FIRST) ** (done / self.warmup))
