"""The general level quantizer, and level sets that never change."""

from __future__ import annotations

import struct
import zlib
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compressors.deferred import Deferred
from compressors.kernels.layout import ORDERS, Layout
from compressors.kernels.strata import Strata
from compressors.naming import shown
from compressors.parameters import parameter
from compressors.quantizer import StochasticQuantizer
from compressors.registry import register

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike
    from torch import Tensor

    from compressors.levels import sets
else:
    np, torch, sets = Deferred("numpy"), Deferred("torch"), Deferred("compressors.levels.sets")

_TAG = struct.Struct("<HH")


@dataclass(eq=False)
class LevelQuantizer(StochasticQuantizer):
    """Magnitudes in units of the bucket's norm, rounded to levels 0 <= l_0 < ... < l_n = 1, with a sign.

    Source: Ramezani-Kebrya et al., "Distributed Extra-gradient with Optimal Complexity and
    Communication Guarantees" (ICLR 2023), section 3.

    Preamble: the version of the levels and a checksum of them, two bytes each. Header: the norm of
    every bucket, rounded up, as float32.
    """

    bits: int = parameter(4, "Bits per coordinate.", low=2, high=8)
    norm: str = parameter("l2", "Norm of a bucket.", choices=tuple(ORDERS))

    @property
    def preamble_bytes(self) -> int:
        return _TAG.size

    def __post_init__(self) -> None:
        super().__post_init__()
        self.version = 0
        self.set_levels(self.first_levels())

    @abstractmethod
    def first_levels(self) -> ArrayLike:
        """Returns the levels before the first level update."""

    @property
    def has_zero(self) -> bool:
        """Is zero one of the levels?"""
        return True

    @property
    def levels(self) -> tuple[float, ...]:
        """Magnitudes in [0, 1], exact in float32."""
        return self._levels

    def set_levels(self, levels: ArrayLike) -> None:
        """Replaces the levels.

        Raises:
            ValueError: not increasing, outside [0, 1], missing an endpoint, or not of this many bits.
        """
        array = sets.check(levels, self.bits, self.has_zero)
        self._levels = tuple(array.tolist())
        negative = [-level for level in reversed(self._levels) if level > 0]
        points = (*negative, *self._levels)
        self._layout = Layout(
            self.bits,
            self.bucket_size,
            levels=len(points) - 1,
            offset=(len(points) - 1) / 2,
            norm=self.norm,
            points=points,
        )
        self._checksum = zlib.crc32(array.astype(np.float32).tobytes()) & 0xFFFF

    @property
    def layout(self) -> Layout:
        return self._layout

    def preamble(self, key: int, strata: Strata | None) -> bytes:
        return _TAG.pack(self.version & 0xFFFF, self._checksum)

    def read_preamble(self, preamble: bytes) -> tuple[int, Strata | None]:
        version, checksum = _TAG.unpack(preamble)
        if version != self.version & 0xFFFF:
            raise ValueError(
                f"{self.name}: the payload was made with level version {version}, this rank has {self.version}"
            )
        if checksum != self._checksum:
            raise ValueError(f"{self.name}: the payload was made with other levels of version {version}")
        return 0, None

    def bucket_bound(self, bucket: Tensor) -> float:
        """The variance itself."""
        return float(self._bucket_variances(bucket).sum())

    def variances(self, vector: Tensor) -> Tensor:
        """Returns the variance of every coordinate of a vector, float64: the expected squared error."""
        return torch.cat([self._bucket_variances(bucket) for bucket in vector.double().split(self.bucket_size)])

    def _bucket_variances(self, bucket: Tensor) -> Tensor:
        """Returns ||x||_q^2 (upper - u)(u - lower) for every u = |x| / ||x||_q."""
        norm = float(torch.linalg.vector_norm(bucket, ORDERS[self.norm])) if len(bucket) else 0.0
        if norm == 0:
            return torch.zeros_like(bucket)
        points = torch.tensor(self.layout.points, dtype=torch.float64)
        u = (bucket / norm).clamp(-1, 1)
        lower = (torch.searchsorted(points, u, right=True) - 1).clamp(0, self.layout.levels - 1)
        return norm**2 * (points[lower + 1] - u) * (u - points[lower])

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "version": self.version, "levels": list(self.levels)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.version = state["version"]
        self.set_levels(state["levels"])


@register("levels")
@dataclass(eq=False)
class Levels(LevelQuantizer):
    """User-defined levels."""

    bits: int = parameter(3, "Bits per coordinate.", low=2, high=8)
    level_set: str = parameter("0,0.1,0.3,1", "The levels: 2^(bits - 1) increasing numbers from 0 to 1.")

    def first_levels(self) -> ArrayLike:
        try:
            return [float(level) for level in self.level_set.split(",")]
        except ValueError:
            raise ValueError(f"levels: {shown(self.level_set)} is not a list of numbers with commas") from None


@register("nuqsgd")
@dataclass(eq=False)
class Exponential(LevelQuantizer):
    """Levels 0, p^s, ..., p^2, p, 1 with s = 2^(bits - 1) - 2.

    Source: Ramezani-Kebrya et al., "NUQSGD" (JMLR 2021).
    """

    base: float = parameter(0.5, "The ratio p of neighbouring levels.", low=0.01, high=0.99)

    def first_levels(self) -> ArrayLike:
        return sets.exponential(self.bits, self.base)


@register("terngrad")
@dataclass(eq=False)
class Ternary(LevelQuantizer):
    """-1, 0 or 1 times the largest magnitude of a bucket.

    Source: Wen et al., "TernGrad" (NeurIPS 2017), without its clipping.
    """

    bits: int = parameter(2, "Bits per coordinate.", low=2, high=2)
    norm: str = parameter("linf", "Norm of a bucket.", choices=("linf",))

    def first_levels(self) -> ArrayLike:
        return sets.ternary()
