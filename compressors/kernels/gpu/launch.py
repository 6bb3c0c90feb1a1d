"""From a vector to programs: which buckets they take, and what they are compiled for."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from compressors.kernels.strata import Strata

Key = int | Tensor
"""A tensor is the 8 bytes of a key on the device, as a payload holds it."""

LANES = 512
"""Coordinates of one eighth, of all buckets of a program: four warps with 32 coordinates a thread."""


class Part(NamedTuple):
    """Buckets of one length, as a program sees them."""

    first: int
    end: int
    stop: int
    """One past the last coordinate that exists."""
    bucket_size: int
    length: int
    """Coordinates of these buckets; only the last may be shorter than ``bucket_size``."""
    eighth: int
    """Coordinates in an eighth of them, rounded up."""
    spacing: int
    """Bytes for every bit from one bucket's codes to the next's."""

    def launch(self, program: Any, *arguments: Any, **constants: Any) -> None:
        log = (self.eighth - 1).bit_length()
        rows = max(1, LANES >> log)
        launch(
            program,
            -(-(self.end - self.first) // rows),
            rows << log,
            *(*arguments, *self),
            **constants,
            rows=rows,
            log=log,
            even=self.length == 8 << log,
            aligned=self.eighth % 4 == self.spacing % 4 == self.bucket_size % 4 == 0 and aligned(*arguments),
        )


def parts(stop: int, numel: int, bucket_size: int) -> list[Part]:
    """The full buckets of ``numel`` coordinates, and the shorter last one."""
    full, tail = divmod(numel, bucket_size)
    spans = [(0, full, bucket_size), (full, full + 1, tail)]
    return [
        Part(first, end, min(stop, end * bucket_size), bucket_size, length, -(-length // 8), -(-bucket_size // 8))
        for first, end, length in spans
        if end > first and length
    ]


def block_shape(length: int, *tensors: Tensor) -> dict[str, Any]:
    """Returns the constants that a program for blocks of this length, a power of two, is compiled with."""
    return {"log": (length // 8).bit_length() - 1, "aligned": aligned(*tensors)}


def aligned(*arguments: Any) -> bool:
    """Do all tensors begin at a multiple of four elements?"""
    return all(
        tensor.data_ptr() % (4 * tensor.element_size()) == 0 for tensor in arguments if isinstance(tensor, Tensor)
    )


def launch(program: Any, count: int, lanes: int, *arguments: Any, **constants: Any) -> None:
    """Launches ``count`` programs, each with 8 times ``lanes`` registers."""
    if count:
        warps = min(max(lanes // 128, 1), 16)
        with torch.cuda.device_of(arguments[0]):
            program[(count,)](*arguments, **constants, num_warps=warps, enable_fp_fusion=False)


def readable(vector: Tensor) -> Tensor:
    """Returns the vector in a dtype that programs read: bfloat16 as int16."""
    return vector.view(torch.int16) if vector.dtype == torch.bfloat16 else vector


def draw(key: Key, strata: Strata | None) -> tuple[Key, int, float, float, float]:
    """Returns what chooses random numbers, as programs take it."""
    shared, rank, ranks = strata or Strata(0, 0, 1)
    return signed(key), _signed_int(shared), float(rank), float(ranks), 1 / ranks


def signed(key: Key) -> Key:
    return _signed_int(key) if isinstance(key, int) else key


def _signed_int(key: int) -> int:
    return key - 2**64 if key >= 2**63 else key
