"""Kernels of the quantizers: one file per device, all with the same bits for the same key.

A kernel module has these functions, on contiguous tensors of its device:

``encode(vector, layout, key) -> payload``
    ``vector``: 1-D float32; ``payload``: uint8 of ``layout.payload_bytes(len(vector))``.
``decode(payload, layout, numel, key) -> vector``
    the inverse, a new float32 vector of ``numel`` elements; the key matters if the layout is dithered.
``unpack(packed, layout, numel) -> codes`` and ``pack(codes, layout) -> packed``
    between the bytes after the header and one uint8 for every coordinate.
``rotate(rows, key, first) -> exponents`` and ``unrotate(rows, key, first)``
    in place, on a float32 matrix whose rows have a power of two of m elements: every row is divided
    by two to its exponent (int32), which takes it near 1, and goes twice through random signs
    and the Hadamard matrix, not normalised; ``unrotate`` is m^2 times the inverse, less the exponent.
    ``first`` is the number of the first row among all rows with this key.

``reference`` (plain torch, any device) defines them; the others must agree with it bit for bit.
"""

from typing import Protocol

import torch
from torch import Tensor

from compressors.kernels import reference
from compressors.kernels.layout import Layout


class Kernel(Protocol):
    def encode(self, vector: Tensor, layout: Layout, key: int) -> Tensor: ...

    def decode(self, payload: Tensor, layout: Layout, numel: int, key: int = 0) -> Tensor: ...

    def unpack(self, packed: Tensor, layout: Layout, numel: int) -> Tensor: ...

    def pack(self, codes: Tensor, layout: Layout) -> Tensor: ...

    def rotate(self, rows: Tensor, key: int, first: int = 0) -> Tensor: ...

    def unrotate(self, rows: Tensor, key: int, first: int = 0) -> None: ...


def for_device(device: torch.device) -> Kernel:
    """The fastest kernel module for tensors on this device."""
    if device.type == "cpu":
        from compressors.kernels import cpu  # numba takes a second to import

        return cpu
    return reference
