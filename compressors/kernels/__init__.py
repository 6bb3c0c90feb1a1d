"""Kernels of the grid quantizers: one file per device, all with the same bits for the same key.

A kernel module has two functions:

``encode(vector, layout, key) -> payload``
    ``vector``: contiguous 1-D float32; ``payload``: uint8 of ``layout.payload_bytes(len(vector))``.
``decode(payload, layout, numel) -> vector``
    the inverse, a new float32 vector of ``numel`` elements.

``reference`` (plain torch, any device) defines them; the others must agree with it bit for bit.
"""

from typing import Protocol

import torch
from torch import Tensor

from compressors.kernels import reference
from compressors.kernels.layout import Layout


class Kernel(Protocol):
    def encode(self, vector: Tensor, layout: Layout, key: int) -> Tensor: ...

    def decode(self, payload: Tensor, layout: Layout, numel: int) -> Tensor: ...


def for_device(device: torch.device) -> Kernel:
    """The fastest kernel module for tensors on this device."""
    if device.type == "cpu":
        from compressors.kernels import cpu  # numba takes a second to import

        return cpu
    return reference
