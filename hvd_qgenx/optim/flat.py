"""Gradients as views into flat buffers, which travel without being gathered or scattered."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from compressors import Compressor, Identity
from hvd_qgenx.exchange import Codec


class FlatGradients:
    """The gradients of parameters of one dtype and device, end to end in one buffer.

    Every parameter's ``.grad`` is a view into it, which zeroing keeps. A gradient that something
    else puts there is copied in by ``collect``.
    """

    def __init__(self, segments: Sequence[tuple[Compressor, Sequence[Tensor]]]) -> None:
        self.parameters = [parameter for _, members in segments for parameter in members]
        stops = list(accumulate(parameter.numel() for parameter in self.parameters))
        self.spans = [(stop - p.numel(), stop) for p, stop in zip(self.parameters, stops, strict=True)]
        first = self.parameters[0]
        self.buffer = torch.zeros(stops[-1], dtype=first.dtype, device=first.device)
        self.codec = Codec(
            [(compressor, sum(map(Tensor.numel, members))) for compressor, members in segments], first.dtype
        )
        self.unwatched = self.buffer.data
        """The buffer, but changes made through this do not count in ``changes``."""
        self.seen: int | None = None
        """``changes`` after the last backward pass."""
        self._views = dict(zip(self.parameters, self.split(self.buffer), strict=True))
        for parameter in self.parameters:
            self.collect(parameter)

    @torch.no_grad()
    def collect(self, parameter: Tensor) -> None:
        """Makes sure that the parameter's gradient is the buffer's part; a missing one counts as zeros.

        Raises:
            TypeError: it is sparse.
        """
        if self.holds(parameter):
            return
        view, gradient = self._views[parameter], parameter.grad
        if gradient is None:
            view.zero_()
        elif gradient.is_sparse:
            raise TypeError("sparse gradients are not exchanged; make them dense first")
        else:
            view.copy_(gradient)
        parameter.grad = view

    @property
    def changes(self) -> int:
        """How often gradients were changed in place so far."""
        return self.buffer._version

    def holds(self, parameter: Tensor) -> bool:
        """Whether the parameter's gradient is the buffer's part."""
        return parameter.grad is self._views[parameter]

    def zero(self) -> None:
        self.buffer.zero_()
        for parameter, view in self._views.items():
            parameter.grad = view

    def split(self, vector: Tensor) -> Iterator[Tensor]:
        """Every parameter's part of a vector like the buffer, a view in the parameter's shape."""
        for parameter, (start, stop) in zip(self.parameters, self.spans, strict=True):
            yield vector[start:stop].view_as(parameter)

    def owners(self, places: Iterable[int]) -> set[Tensor]:
        """The parameters that these places of the buffer belong to."""
        spans = zip(self.parameters, self.spans, strict=True)
        return {parameter for parameter, (start, stop) in spans if any(start <= place < stop for place in places)}


def flatten(parameters: Iterable[Tensor], compression: Compressor) -> list[FlatGradients]:
    """Buffers for the gradients of parameters, which are given in the order in which gradients appear.

    One for every dtype and device. In it lie the segments of all compressors whose payloads have a
    known length and are not added on their way; and, last, what is left uncompressed. Other
    compressors have buffers of their own.
    """
    buffers: dict[tuple[object, ...], dict[object, tuple[Compressor, list[Tensor]]]] = {}
    for parameter in parameters:
        compressor = compression.route(parameter.shape)
        kind: object = Identity if isinstance(compressor, Identity) else id(compressor)
        shares = compressor.exact_size and not compressor.summable
        key = (parameter.dtype, parameter.device, None if shares else kind)
        buffers.setdefault(key, {}).setdefault(kind, (compressor, []))[1].append(parameter)
    for dtype, device, kind in list(buffers):
        if kind is Identity and (dtype, device, None) in buffers:
            buffers[dtype, device, None].update(buffers.pop((dtype, device, kind)))
    for segments in buffers.values():
        for compressor, members in segments.values():
            compressor.lay_out([parameter.numel() for parameter in members])
    return [FlatGradients(list(segments.values())) for segments in buffers.values()]
