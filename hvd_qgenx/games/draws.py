"""Random numbers of a play."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from compressors.random import generator

BLOCK = 1 << 14
"""Numbers drawn at once: a generator for every call would cost more than the call."""


class Draws:
    """Gives one row of random numbers a call, a function of the words and the number of the call.

    Args:
        draw: takes a number of rows and a generator; returns (rows, width).
        width: numbers in a row.
        words: select the random stream, such as seed and rank.
    """

    def __init__(self, draw: Callable[[int, torch.Generator], Tensor], width: int, *words: int) -> None:
        self._rows = self._all(draw, max(1, BLOCK // width), words)

    def next(self) -> Tensor:
        """Returns the row (width,) of this call."""
        return next(self._rows)

    @staticmethod
    def _all(draw: Callable[[int, torch.Generator], Tensor], rows: int, words: tuple[int, ...]) -> Iterator[Tensor]:
        block = 0
        while True:
            yield from draw(rows, generator(*words, block)).unbind()
            block += 1


def normals(width: int, *words: int) -> Draws:
    """Returns draws of independent N(0, 1), float64."""
    return Draws(lambda rows, random: torch.randn(rows, width, generator=random, dtype=torch.float64), width, *words)


def integers(high: int, width: int, *words: int) -> Draws:
    """Returns draws of independent integers, uniform on 0, ..., high - 1."""
    return Draws(lambda rows, random: torch.randint(high, (rows, width), generator=random), width, *words)
