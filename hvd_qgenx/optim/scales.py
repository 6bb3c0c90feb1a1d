"""Feeds compressors whose scale follows what all ranks know: mean gradients or updates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from compressors import IntSGD, SummedCompressor
from compressors.integers import squared_norm
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.buffers import FlatBuffer


@dataclass
class _Follower:
    """A compressor, and the gradients that it compresses."""

    compressor: IntSGD
    buffer: FlatBuffer
    parameters: list[Tensor]
    start: int
    stop: int

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The parts of the buffer whose norms are followed."""
        if self.compressor.scale_per == "vector":
            return [(self.start, self.stop)]
        return [self.buffer.spans[parameter] for parameter in self.parameters]


class ScaleFeed:
    """Gives ``IntSGD`` compressors the norms that their scales follow, and has them set the scales.

    Norms are those of values that are equal on all ranks, and they are computed in one order of additions, so scales
    have the same bits everywhere.

    Args:
        buffers: hold gradients, with the compressors of their segments.
        groups: the optimizer's parameter groups, for step sizes.
        extrapolates: whether the optimizer makes two moves a step, of which the second starts from where the first did.

    Raises:
        ConfigurationError: a compressor serves gradients of several dtypes or devices, whose scales would differ; or it
            follows updates of an optimizer that has no step size or extrapolates.
    """

    def __init__(self, buffers: Iterable[FlatBuffer], groups: Sequence[dict[str, Any]], extrapolates: bool) -> None:
        self._group_of = {p: group for group in groups for p in group["params"]}
        self._followers = list(_followers(buffers))
        self._before: dict[Tensor, Tensor] = {}
        made = [id(each.compressor) for each in self._followers]
        if len(set(made)) < len(made):
            raise ConfigurationError("intsgd compresses gradients of one dtype and device; this model has several")
        if self._of("update") and (extrapolates or any("lr" not in group for group in groups)):
            fault = "extrapolates" if extrapolates else "has no step size lr"
            raise ConfigurationError(
                f"intsgd: scales cannot follow updates, the optimizer {fault}; use scale_from=gradient"
            )

    def before_exchange(self) -> None:
        """Sets the scales that follow updates, by the step sizes of the coming move."""
        for each in self._of("update"):
            steps = {p: float(self._group_of[p]["lr"]) for p in each.parameters}
            if each.compressor.scale_per == "vector" and len(set(steps.values())) > 1:
                raise ConfigurationError(
                    "intsgd: parameter groups have different step sizes; use scale_per=tensor or scale_from=gradient"
                )
            sizes = [stop - start for start, stop in each.spans]
            each.compressor.rescale(sizes, list(steps.values())[: len(sizes)])

    def after_exchange(self) -> None:
        """Lets scales follow the mean gradients, which the buffers hold now."""
        for each in self._of("gradient"):
            each.compressor.follow([squared_norm(each.buffer.vector[start:stop]) for start, stop in each.spans])
            each.compressor.rescale([stop - start for start, stop in each.spans], [1.0] * len(each.spans))

    def before_move(self) -> None:
        """Keeps the parameters of scales that follow updates."""
        self._before = {p: p.detach().clone() for each in self._of("update") for p in each.parameters}

    def after_move(self) -> None:
        """Lets scales follow the update that was made."""
        for each in self._of("update"):
            norms = [squared_norm((p.detach() - self._before[p]).flatten()) for p in each.parameters]
            each.compressor.follow([sum(norms)] if each.compressor.scale_per == "vector" else norms)
        self._before = {}

    def _of(self, source: str) -> list[_Follower]:
        return [each for each in self._followers if each.compressor.scale_from == source]


def _followers(buffers: Iterable[FlatBuffer]) -> Iterator[_Follower]:
    for buffer in buffers:
        for compressor, start, stop in buffer.codec.segments:
            integers = compressor.integers if isinstance(compressor, SummedCompressor) else None
            if isinstance(integers, IntSGD):
                members = [p for p in buffer.parameters if start <= buffer.spans[p][0] < stop]
                yield _Follower(integers, buffer, members, start, stop)
