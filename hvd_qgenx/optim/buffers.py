"""Gradients as views into flat buffers, which are exchanged without being gathered or scattered."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from compressors import Compressor, Identity
from hvd_qgenx.exchange import Codec


class FlatBuffer:
    """A vector that holds a tensor for every parameter, end to end, and the codec that compresses it.

    Args:
        segments: compressors, each with the parameters whose tensors it compresses; all of one dtype and device.
    """

    def __init__(self, segments: Sequence[tuple[Compressor, Sequence[Tensor]]]) -> None:
        self.parameters = [parameter for _, members in segments for parameter in members]
        stops = accumulate(parameter.numel() for parameter in self.parameters)
        self.spans = {p: (stop - p.numel(), stop) for p, stop in zip(self.parameters, stops, strict=True)}
        """Begin and end of each parameter's tensor."""
        self.codec = Codec(
            [(compressor, sum(map(Tensor.numel, members))) for compressor, members in segments],
            self.parameters[0].dtype,
        )
        self.vector = torch.zeros(self.codec.numel, dtype=self.codec.dtype, device=self.parameters[0].device)

    def split(self, vector: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields every parameter with its part of a vector like the buffer's, a view in the parameter's shape."""
        for parameter, (start, stop) in self.spans.items():
            yield parameter, vector[start:stop].view_as(parameter)

    def owners(self, places: Iterable[int]) -> set[Tensor]:
        """Returns the parameters that these coordinates of the vector belong to."""
        places = list(places)
        return {p for p, (start, stop) in self.spans.items() if any(start <= place < stop for place in places)}


class FlatGradients(FlatBuffer):
    """The gradients of parameters in one buffer.

    Every parameter's ``.grad`` is a view into it, which zeroing keeps. A gradient that something
    else puts there is copied in by ``collect``.
    """

    def __init__(self, segments: Sequence[tuple[Compressor, Sequence[Tensor]]]) -> None:
        super().__init__(segments)
        self.unwatched = self.vector.data
        """The vector, but changes made through this do not count as changes of gradients."""
        self._views = dict(self.split(self.vector))
        self._version: int | None = None
        for parameter in self.parameters:
            self.collect(parameter)

    @torch.no_grad()
    def collect(self, parameter: Tensor) -> None:
        """Makes sure that the parameter's gradient is its part of the buffer; a missing one counts as zeros.

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

    def holds(self, parameter: Tensor) -> bool:
        """Tells if the parameter's gradient is its part of the buffer."""
        return parameter.grad is self._views[parameter]

    def strays(self) -> list[Tensor]:
        """Returns the parameters whose gradients are elsewhere."""
        return [parameter for parameter in self.parameters if not self.holds(parameter)]

    def watch(self) -> None:
        """Begins to watch for changes of the gradients as they are now."""
        self._version = self.vector._version

    def unwatch(self) -> None:
        """Ends watching."""
        self._version = None

    def changed(self) -> bool:
        """Tells if gradients were changed in place while watched."""
        return self._version not in (None, self.vector._version)

    def zero(self) -> None:
        """Sets all gradients to zero, in place."""
        self.vector.zero_()
        for parameter, view in self._views.items():
            parameter.grad = view


def flatten(parameters: Iterable[Tensor], compression: Compressor) -> list[FlatGradients]:
    """Makes buffers for the gradients of parameters, which are given in the order in which gradients appear.

    There is one for every dtype and device. It holds the segments of all compressors whose payloads have a
    known length and are not added on their way; and, last, the segment that is left uncompressed. Other
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
