"""IntSGD: integers at a scale that follows what all ranks know already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compressors.integers import IntegerCompressor, root_mean_square_scale
from compressors.parameters import parameter
from compressors.registry import register


@register("intsgd")
@dataclass(eq=False)
class IntSGD(IntegerCompressor):
    """Integers whose scale follows the norm of the last mean gradients, or of the last updates.

    No scale, norm or index crosses the wire. With d coordinates, n ranks and step size eta_k the scale is

        alpha_k = sqrt(d) / sqrt(2 n r_k + epsilon^2),   r_k = beta r_{k-1} + (1 - beta) s_k,

    where s_k is the squared norm of the last mean gradient (``gradient``). With ``update`` the squared norm of the last
    update is averaged so, and r_k is that over eta_k^2, as in the paper; for SGD without momentum and with one step
    size both are the same. With ``constant`` the scale is ``alpha``.

    Source: Mishchenko, Wang, Kovalev and Richtarik, "IntSGD: Adaptive Floatless Compression of Stochastic Gradients"
    (ICLR 2022), Algorithms 1 and 2.
    """

    scale_from: str = parameter("gradient", "What the scale follows.", choices=("gradient", "update", "constant"))
    scale_per: str = parameter("vector", "What has a scale of its own.", choices=("vector", "tensor"))
    beta: float = parameter(0.9, "Share of the past in the squared norm that the scale follows.", low=0.0, high=0.999)
    epsilon: float = parameter(1e-8, "Least norm that the scale can follow.", low=0.0, high=1.0)
    alpha: float = parameter(1.0, "Factor on the scale; the scale itself if it is constant.", low=1e-30, high=1e30)
    first_scale: float = parameter(
        0.0, "Scale of the first exchange; 0: that exchange is not compressed.", low=0.0, high=1e30
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._squares: tuple[float, ...] | None = None
        first = self.alpha if self.scale_from == "constant" else self.first_scale
        if first:
            self.set_scales([first])

    def follow(self, squares: Sequence[float]) -> None:
        """Averages in the squared norms of the last mean gradient or update, one for all or one for each tensor.

        Norms that are not finite are left out; those of other tensors than before begin anew.
        """
        if not all(map(math.isfinite, squares)):
            return
        past = squares if self._squares is None or len(self._squares) != len(squares) else self._squares
        self._squares = tuple(self.beta * old + (1 - self.beta) * new for old, new in zip(past, squares, strict=True))

    def rescale(self, sizes: Sequence[int], step_sizes: Sequence[float]) -> None:
        """Sets the scale of the next exchange from the norms that were followed.

        A tensor whose norms were zero gets the scale of the whole vector.

        Args:
            sizes: numbers of coordinates, one for each number that ``follow`` got.
            step_sizes: the step size of the coming update of each; 1 for gradients.
        """
        if self._squares is None or len(self._squares) != len(sizes):
            return
        squares = [
            square / step**2 if step > 0 else math.nan for square, step in zip(self._squares, step_sizes, strict=True)
        ]
        whole = self._scale(sum(sizes), sum(squares), self.epsilon)
        if self.scale_per == "vector":
            self.set_scales([whole])
            return
        floors = [self.epsilon * math.sqrt(size / sum(sizes)) for size in sizes]
        scales = [self._scale(*each) if each[1] else whole for each in zip(sizes, squares, floors, strict=True)]
        self.set_scales(scales)

    def _scale(self, size: int, square: float, floor: float) -> float:
        return self.alpha * root_mean_square_scale(size, self.ranks, square, floor) if square > 0 else math.inf

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "squares": self._squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._squares = state["squares"]
