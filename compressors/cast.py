"""Payloads that hold every coordinate as a number of one dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compressors.deferred import Deferred

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


def encode_as(dtype: torch.dtype, vector: Tensor, payload: Tensor) -> int:
    """Writes the bytes of the vector, rounded to ``dtype``; returns their number."""
    payload.copy_(vector.to(dtype).view(torch.uint8))
    return payload.numel()


def decode_as(dtype: torch.dtype, payload: Tensor, vector: Tensor, add: bool) -> None:
    """Reads numbers of this dtype back.

    Raises:
        ValueError: there are not as many as ``vector`` is long.
    """
    numbers = _numbers(payload, dtype, vector.numel())
    vector.add_(numbers) if add else vector.copy_(numbers)


def is_finite_as(dtype: torch.dtype, payload: Tensor, numel: int) -> bool:
    """Tells whether numbers of this dtype are finite; one pass in the common case: a finite sum has finite terms.

    Raises:
        ValueError: there are not ``numel``.
    """
    numbers = _numbers(payload, dtype, numel)
    return bool(numbers.sum().isfinite()) or bool(numbers.isfinite().all())


def _numbers(payload: Tensor, dtype: torch.dtype, numel: int) -> Tensor:
    if payload.numel() != numel * dtype.itemsize:
        raise ValueError(f"a payload of {payload.numel()} bytes cannot hold {numel} numbers of {dtype}")
    aligned = payload if payload.storage_offset() % dtype.itemsize == 0 else payload.clone()
    return aligned.view(dtype)
