"""Gradients as views into flat buffers, which are exchanged without being gathered or scattered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

from compressors import Compressor, Identity
from hvd_qgenx.errors import ConfigurationError, configuration_errors
from hvd_qgenx.exchange import Codec

B = TypeVar("B", bound="FlatBuffer")

Handles: TypeAlias = tuple[dict[Tensor, Tensor], dict[Tensor, tuple[object, ...]]]
"""Views of a vector by parameter, and where they lie."""


class FlatBuffer:
    """A vector that holds a tensor for every parameter, end to end, and the codec that compresses it.

    Args:
        segments: compressors, each with the parameters whose tensors it compresses; all of one dtype and device.
        names: names of parameters for messages.
    """

    def __init__(self, segments: Sequence[tuple[Compressor, Sequence[Tensor]]], names: Mapping[Tensor, str]) -> None:
        self._names = names
        self.parameters = [parameter for _, members in segments for parameter in members]
        stops = accumulate(parameter.numel() for parameter in self.parameters)
        self.spans = {p: (stop - p.numel(), stop) for p, stop in zip(self.parameters, stops, strict=True)}
        """Begin and end of each parameter's tensor."""
        self.codec = Codec(
            [(compressor, sum(map(Tensor.numel, members))) for compressor, members in segments],
            self.parameters[0].dtype,
        )
        self.vector = torch.zeros(self.codec.numel, dtype=self.codec.dtype, device=self.parameters[0].device)
        self._other: Tensor | None = None

    @property
    def unwatched(self) -> Tensor:
        """The vector, but changes made through this do not count as changes of gradients."""
        return self.vector.data

    @property
    def other(self) -> Tensor:
        """A second vector for means, which is made when first asked for."""
        if self._other is None:
            self._other = torch.empty_like(self.vector)
        return self._other

    def replace(self, means: Tensor) -> None:
        """Makes the means the vector: they lie in it already, or in the other one, which takes its place."""
        if means is self._other:
            self.vector, self._other = self._other, self.vector

    def split(self, vector: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields every parameter with its part of a vector like the buffer's, a view in the parameter's layout."""
        for parameter in self.parameters:
            yield parameter, self.part(vector, parameter)

    def part(self, vector: Tensor, parameter: Tensor) -> Tensor:
        """Returns a parameter's part of a vector like the buffer's, a view in the parameter's layout."""
        start, stop = self.spans[parameter]
        return vector[start:stop].as_strided(parameter.shape, gradient_strides(parameter))

    def values(self, start: int, stop: int) -> Iterator[tuple[int, int, Tensor]]:
        """Yields the parameters' own values between two places of the vector, piece by piece, in its order."""
        for parameter, (first, last) in self.spans.items():
            lo, hi = max(first, start), min(last, stop)
            if lo < hi:
                yield lo, hi, _in_memory_order(parameter)[lo - first : hi - first]

    def owners(self, places: Iterable[int]) -> set[Tensor]:
        """Returns the parameters that these coordinates of the vector belong to."""
        places = list(places)
        return {p for p, (start, stop) in self.spans.items() if any(start <= place < stop for place in places)}


class FlatGradients(FlatBuffer):
    """The gradients of parameters in one buffer.

    Every parameter's ``.grad`` is a view into it, which zeroing keeps. A gradient that something
    else puts there, into ``.grad`` or into ``.grad.data``, is copied in by ``collect``.

    Means that arrive while gradients may still be changed lie in a second buffer: a change through ``.data``, of which
    torch knows nothing, would else be a change of the mean on this rank alone if it came after the mean, and of the
    gradient if before. ``replace`` then lets the two buffers change places.

    Args:
        segments, names: as of ``FlatBuffer``.
    """

    def __init__(self, segments: Sequence[tuple[Compressor, Sequence[Tensor]]], names: Mapping[Tensor, str]) -> None:
        super().__init__(segments, names)
        self._layouts = {parameter: _layout(parameter) for parameter in self.parameters}
        self._checked = {parameter: parameter.data_ptr() for parameter in self.parameters}
        """Address of every parameter's memory when its layout was last checked."""
        self._views, self._places = self._handles(self.vector)
        self._other_handles: Handles | None = None
        self._version: int | None = None
        self.sparse: set[Tensor] = set()
        """Parameters whose gradients have come sparse."""
        for parameter in self.parameters:
            if parameter.grad is not None:
                self.collect(parameter)

    @torch.no_grad()
    def collect(self, parameter: Tensor) -> None:
        """Makes sure that the parameter's gradient is its part of the buffer; a missing one counts as zeros.

        A sparse gradient becomes dense, until ``make_sparse``.

        Raises:
            ConfigurationError: the parameter has changed its dtype, device or layout.
        """
        self._check(parameter)
        if self.holds(parameter):
            return
        gradient, view = parameter.grad, self._view(parameter)
        if gradient is None:
            view.zero_()
        elif gradient.is_sparse:
            self.sparse.add(parameter)
            view.copy_(gradient.to_dense())
        else:
            view.copy_(gradient)
        parameter.grad = view

    def replace(self, means: Tensor) -> None:
        """Makes the means the gradients: they lie in the buffer already, or in the other one, which takes its place."""
        if means is self._other:
            super().replace(means)
            before, self._other_handles = self._other_handles or self._handles(means), (self._views, self._places)
            self._views, self._places = before
            for parameter in self.parameters:
                parameter.grad = self._view(parameter)

    def _handles(self, vector: Tensor) -> Handles:
        """Returns the views of a vector that are handed out as gradients, and where they lie."""
        views = dict(self.split(vector))
        return views, {parameter: _place(view) for parameter, view in views.items()}

    def make_sparse(self) -> None:
        """Gives parameters whose gradients have come sparse a sparse copy of their part of the buffer."""
        for parameter in self.sparse:
            parameter.grad = self._view(parameter).to_sparse(1)

    def holds(self, parameter: Tensor) -> bool:
        """Tells if the parameter's gradient is its part of the buffer."""
        gradient = parameter.grad
        return gradient is self._views[parameter] and _place(gradient) == self._places[parameter]

    def strays(self) -> list[Tensor]:
        """Returns the parameters whose gradients are elsewhere."""
        return [parameter for parameter in self.parameters if not self.holds(parameter)]

    def _view(self, parameter: Tensor) -> Tensor:
        """Returns the parameter's part: the view that was handed out, unless it now names other memory."""
        view = self._views[parameter]
        if view.data_ptr() != self._places[parameter][0]:  # by an assignment to .grad.data
            view = self._views[parameter] = self.part(self.vector, parameter)
        return view

    def _check(self, parameter: Tensor) -> None:
        """Raises ConfigurationError if the parameter has changed its layout, which it does with its memory."""
        if parameter.data_ptr() == self._checked[parameter]:
            return
        made, now = self._layouts[parameter], _layout(parameter)
        if now != made:
            was, became = ([str(each) for each in layout] for layout in (made, now))
            changes = [f"{old} to {new}" for old, new in zip(was, became, strict=True) if old != new]
            raise ConfigurationError(
                f"{self._names[parameter]} was changed from {', '.join(changes)} after the optimizer was made; "
                "convert the model before DistributedOptimizer"
            )
        self._checked[parameter] = parameter.data_ptr()

    def watch(self) -> None:
        """Begins to watch for changes of the gradients as they are now."""
        self._version = self.vector._version

    def unwatch(self) -> None:
        """Ends watching."""
        self._version = None

    def changed(self) -> bool:
        """Tells if gradients were changed in place while watched."""
        return self._version not in (None, self.vector._version)

    def zero(self, hand_out: bool = True) -> None:
        """Sets all gradients to zero, in place; without ``hand_out``, ``.grad`` stays what it is."""
        self.vector.zero_()
        for parameter in self.parameters if hand_out else ():
            self._check(parameter)
            parameter.grad = self._view(parameter)


def flatten(
    names: Mapping[Tensor, str],
    compression: Compressor,
    kind: type[B],
    routed_by: Mapping[Tensor, str] | None = None,
) -> list[B]:
    """Makes buffers for the gradients or values of parameters, which are given in the order in which gradients appear.

    There is one for every dtype and device. It holds the segments of all compressors whose payloads have a
    known length and are not added on their way; and, last, the segment that is left uncompressed. Other
    compressors have buffers of their own.

    Args:
        names: names of the parameters for messages.
        compression: chooses the compressor of every parameter.
        kind: class of the buffers.
        routed_by: names by which it chooses, where parameters have such; by default those for messages.

    Raises:
        ConfigurationError: a parameter is not floating-point, but complex, or there is no compressor for its name.
    """
    routed_by = names if routed_by is None else routed_by
    buffers: dict[tuple[object, ...], dict[object, tuple[Compressor, list[Tensor]]]] = {}
    for parameter, name in names.items():
        if not parameter.is_floating_point():
            raise ConfigurationError(f"{name} is {parameter.dtype}; only real floating-point parameters are exchanged")
        with configuration_errors():
            compressor = compression.route(parameter.shape, routed_by.get(parameter))
        route: object = Identity if isinstance(compressor, Identity) else id(compressor)
        shares = compressor.exact_size and compressor.reduction == "gather"
        key = (parameter.dtype, parameter.device, None if shares else route)
        buffers.setdefault(key, {}).setdefault(route, (compressor, []))[1].append(parameter)
    for dtype, device, route in list(buffers):
        if route is Identity and (dtype, device, None) in buffers:
            buffers[dtype, device, None].update(buffers.pop((dtype, device, route)))
    for segments in buffers.values():
        for compressor, members in segments.values():
            compressor.lay_out([parameter.shape for parameter in members])
    return [kind(list(segments.values()), names) for segments in buffers.values()]


def gradient_strides(parameter: Tensor) -> tuple[int, ...]:
    """Returns the strides of a parameter's gradient, as autograd chooses them.

    They are the parameter's own if it fills its memory without gaps or overlaps, so that fused and foreach
    optimizers find equal layouts; else those of a contiguous tensor.
    """
    dense = torch.empty_like(parameter, device="meta", memory_format=torch.preserve_format)
    return dense.stride() if dense.stride() == parameter.stride() else torch.empty(dense.shape, device="meta").stride()


def _in_memory_order(parameter: Tensor) -> Tensor:
    """Returns a parameter's values, 1-D, in the order in which its gradient lies in memory."""
    values = parameter.detach()
    if gradient_strides(parameter) != values.stride():
        values = values.contiguous()
    return values.as_strided((values.numel(),), (1,), values.storage_offset())


def _layout(parameter: Tensor) -> tuple[object, ...]:
    return parameter.dtype, parameter.device, parameter.shape, parameter.stride()


def _place(gradient: Tensor) -> tuple[object, ...]:
    """Returns where a gradient lies in memory, and how."""
    return gradient.data_ptr(), gradient.dtype, gradient.shape, gradient.stride()
