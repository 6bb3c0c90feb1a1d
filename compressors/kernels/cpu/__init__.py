"""The quantizers for CPU tensors: one pass over every bucket while it is in cache, by Numba.

Sums and products keep the order of the reference; fast-math is off, so the bits are the same.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressors.kernels import reference
from compressors.kernels.cpu import buckets
from compressors.kernels.cpu.plan import plan, scratch_for
from compressors.kernels.layout import Layout
from compressors.kernels.threads import share

encode_rotated, decode_rotated = reference.encode_rotated, reference.decode_rotated
encode_variable, decode_variable = reference.encode_variable, reference.decode_variable


def encode(vector: Tensor, layout: Layout, key: int, payload: Tensor) -> None:
    split = layout.header_bytes(len(vector))
    header = np.empty((layout.buckets(len(vector)), layout.header_floats), np.float32)
    arguments = (*parts(vector), plan(layout), np.uint64(key), header, payload[split:].numpy())
    room = min(layout.bucket_size, len(vector))
    share(len(header), len(vector), lambda first, last: buckets.encode(*arguments, scratch_for(room), first, last))
    payload[:split].numpy()[:] = header.reshape(-1).view(np.uint8)


def decode(payload: Tensor, layout: Layout, vector: Tensor, key: int = 0, add: bool = False) -> None:
    split = layout.header_bytes(len(vector))
    header = np.frombuffer(payload[:split].numpy().tobytes(), np.float32).reshape(-1, layout.header_floats)
    arguments = (header, payload[split:].numpy(), plan(layout), np.uint64(key), *parts(vector), add)
    room = min(layout.bucket_size, len(vector))
    share(len(header), len(vector), lambda first, last: buckets.decode(*arguments, scratch_for(room), first, last))


def unpack(packed: Tensor, layout: Layout, numel: int) -> Tensor:
    codes = torch.empty(numel, dtype=torch.uint8)
    buckets.unpack(packed.numpy(), layout.bits, layout.bucket_size, codes.numpy())
    return codes


def pack(codes: Tensor, layout: Layout) -> Tensor:
    packed = torch.empty(layout.payload_bytes(len(codes)) - layout.header_bytes(len(codes)), dtype=torch.uint8)
    buckets.pack(codes.numpy(), layout.bits, layout.bucket_size, packed.numpy())
    return packed


def parts(vector: Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint16], bool]:
    """The vector as ``rows`` wants it: floats, halves, and whether these are bfloat16."""
    if vector.dtype == torch.float32:
        return vector.numpy(), np.empty(0, np.uint16), False
    return np.empty(0, np.float32), vector.view(torch.uint16).numpy(), vector.dtype == torch.bfloat16
