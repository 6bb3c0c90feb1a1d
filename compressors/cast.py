"""Payloads that hold every coordinate as a number of one dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compressors.deferred import Deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


_ROOM = 1 << 17
"""Numbers of 16 bits that are converted at once; as float32 they fit into the cache of a core."""


def encode_as(dtype: torch.dtype, vector: Tensor, payload: Tensor) -> int:
    """Writes the bytes of the vector, rounded to ``dtype``; returns their number."""
    if _aligned(payload, dtype):
        payload.view(dtype).copy_(vector)
    else:
        payload.copy_(vector.to(dtype).view(torch.uint8))
    return payload.numel()


def decode_as(dtype: torch.dtype, payload: Tensor, vector: Tensor, add: bool) -> None:
    """Reads numbers of this dtype back.

    Raises:
        ValueError: there are not as many as ``vector`` is long.
    """
    numbers = _numbers(payload, dtype, vector.numel())
    if not add:
        vector.copy_(numbers)
    elif dtype.itemsize == 2 and vector.dtype != dtype and vector.device.type == "cpu":
        _add_halves(numbers, vector)
    else:
        vector.add_(numbers)


def is_finite_as(dtype: torch.dtype, payload: Tensor, numel: int) -> bool:
    """Tells whether numbers of this dtype are finite; one pass in the common case: a finite sum has finite terms.

    Raises:
        ValueError: there are not ``numel``.
    """
    numbers = _numbers(payload, dtype, numel)
    return bool(numbers.sum().isfinite()) or bool(numbers.isfinite().all())


def _add_halves(numbers: Tensor, vector: Tensor) -> None:
    """Adds numbers of 16 bits by way of float32, which torch does eight at a time; it adds them one at a time."""
    room = torch.empty(min(len(numbers), _ROOM), dtype=torch.float32)
    for part, sums in zip(numbers.split(_ROOM), vector.split(_ROOM), strict=True):
        sums.add_(room[: len(part)].copy_(part))


def _numbers(payload: Tensor, dtype: torch.dtype, numel: int) -> Tensor:
    if payload.numel() != numel * dtype.itemsize:
        raise ValueError(f"a payload of {payload.numel()} bytes cannot hold {numel} numbers of {dtype}")
    return (payload if _aligned(payload, dtype) else payload.clone()).view(dtype)


def _aligned(payload: Tensor, dtype: torch.dtype) -> bool:
    return payload.storage_offset() % dtype.itemsize == 0
