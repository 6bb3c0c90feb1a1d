"""Parameters as views into flat buffers, which neighbours mix."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from compressors import Compressor
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.buffers import FlatBuffer


class FlatParameters(FlatBuffer):
    """The values of parameters in one buffer: every parameter becomes a view into it, in its own layout.

    Args:
        segments, names: as of ``FlatBuffer``.
    """

    @torch.no_grad()
    def __init__(self, segments: Sequence[tuple[Compressor, Sequence[Tensor]]], names: Mapping[Tensor, str]) -> None:
        super().__init__(segments, names)
        for parameter, view in self.split(self.vector):
            view.copy_(parameter)
            parameter.data = view
        self._places = {parameter: (parameter.data_ptr(), parameter.shape) for parameter in self.parameters}

    @property
    def row(self) -> Tensor:
        """The vector as a matrix of one row, (1, d), through which changes are not noted by autograd."""
        return self.vector.data[None]

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yields the names of parameters, with their values."""
        for parameter in self.parameters:
            yield self._names[parameter], parameter.detach()

    def check(self) -> None:
        """Raises ConfigurationError if a parameter no longer lies in the buffer."""
        for parameter, place in self._places.items():
            if (parameter.data_ptr(), parameter.shape) != place:
                raise ConfigurationError(
                    f"{self._names[parameter]} was moved or replaced after the optimizer was made; "
                    "convert and move the model before DecentralizedOptimizer, and load state dicts in place"
                )

    def gather_gradients(self) -> Tensor:
        """Returns the gradients as a vector like the buffer's, (1, d); missing ones count as zeros."""
        vector = torch.zeros_like(self.vector)
        for parameter, view in self.split(vector):
            if parameter.grad is not None:
                view.copy_(parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad)
        return vector[None]

    def scatter_gradients(self, row: Tensor) -> None:
        """Makes the parts of a vector like the buffer's, (1, d), the gradients."""
        for parameter, view in self.split(row[0]):
            parameter.grad = view
