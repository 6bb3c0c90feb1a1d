"""DynamiQ's format: groups with scales of their own, and widths by energy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

from compressors import kernels
from compressors.base import Compressor, Shape, numel
from compressors.deferred import Deferred
from compressors.parameters import parameter
from compressors.registry import register
from compressors.rounding import CORRELATED, GridRounding, rounding_parameter

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from compressors.kernels import grouped
else:
    np, torch = Deferred("numpy"), Deferred("torch")
    grouped = Deferred("compressors.kernels.grouped")

GROUP = 16
"""Coordinates that share a scale."""
SUPER = 256
"""Coordinates that share a width and a coarse scale."""
WIDTHS = (2, 4, 8)
ERRORS = (0.292, 0.011, 3.8e-5)
"""Relative squared errors at these widths, of independent Gaussian coordinates in groups."""
STEEPEST = 255
"""The number of a group scale that equals the coarse one."""
SPREAD = 0.85
"""Width of the normal distribution whose quantiles the values are, in units of a group's largest magnitude."""
GRAIN = 2.0**-16
"""Values are multiples of this, so that every host has the same bits."""


@register("dynamiq")
@dataclass(eq=False)
class DynamiQ(GridRounding, Compressor):
    """Rounds groups of 16 coordinates at random to uneven values of 2, 4 or 8 bits, up to their largest magnitude.

    A super-group of 256 coordinates has a width, and a coarse scale in bfloat16; scales of its groups are multiples
    of a 255th of that. Widths make the error least, as far as the squared norms of super-groups tell, with ``bits``
    per coordinate for everything: widths, scales and codes. Values are denser near zero, as is best for Gaussian
    coordinates. Scales are rounded up and coordinates at random, so every rank is unbiased.

    Source: "DynamiQ: Accelerating Gradient Synchronization using Compressed Multi-hop All-reduce" (2026), from its
    description: sizes, widths, hierarchy of scales and correlated rounding are its own; the values, which it has no
    numbers for, are made here, and a payload's widths follow the norms of the rank or mean that is compressed, not
    their sums over ranks, which cost a message of their own.

    Payload: the widths, four in a byte; the coarse scales; the numbers of the group scales; the codes of all
    super-groups of 2 bits, then of 4 and of 8; zeros up to the fixed size. The last super-group is filled with zeros.
    """

    shares_bits = True

    bits: float = parameter(
        4.0, "Bits per coordinate on average, scales included; may be a fraction.", low=3.0, high=8.0
    )
    rounding: str = rounding_parameter(CORRELATED)

    @property
    def alignment(self) -> int:
        return SUPER

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        count = _supers(numel(shape))
        return _head_bytes(count) + self._budget(numel(shape)) * (SUPER // 8)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        filled, coarse, fine, chosen = self._prepared(vector)
        symbols = torch.empty(len(filled), dtype=torch.uint8, device=vector.device)
        kernel = kernels.for_device(vector.device)
        kernel.encode_grouped(filled, _groups(coarse, fine, chosen), key, symbols, self.strata(shared))
        head = torch.cat([_pack_widths(chosen), coarse.view(torch.uint8), fine])
        payload[: len(head)] = head
        body, stop = payload[len(head) :], 0
        rows = symbols.view(-1, SUPER)
        for index, width in enumerate(WIDTHS):
            part = _packed(rows[chosen == index], width).flatten()
            body[stop : stop + len(part)] = part
            stop += len(part)
        body[stop:] = 0
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        coarse, fine, chosen, body = self._open(payload, len(vector))
        rows = torch.empty(len(chosen), SUPER, dtype=torch.uint8, device=vector.device)
        stop = 0
        for index, width in enumerate(WIDTHS):
            mine = chosen == index
            size = int(mine.sum()) * SUPER * width // 8
            rows[mine] = _unpacked(body[stop : stop + size].view(-1, SUPER * width // 8), width)
            stop += size
        values = torch.empty(rows.numel(), dtype=torch.float32, device=vector.device)
        kernels.for_device(vector.device).decode_grouped(rows.flatten(), _groups(coarse, fine, chosen), values)
        kernels.deliver_values(values, vector, add)

    def variance_bound(self, tensor: Tensor) -> float:
        """The variance itself, (x - a) (b - x) for a coordinate x between the values a and b, and denormals' rounding.

        Decoded coordinates are off by up to 2^-150 where they are denormal in float32.
        """
        filled, coarse, fine, chosen = self._prepared(tensor.detach().flatten())
        variance = grouped.squared_error(filled, _groups(coarse, fine, chosen))
        return (math.sqrt(variance) + math.sqrt(len(filled)) * 2.0**-150) ** 2

    def _prepared(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the filled vector, coarse scales (bfloat16), numbers of group scales, and tables (int64)."""
        filled = torch.nn.functional.pad(vector.float(), (0, -len(vector) % SUPER))
        most = filled.view(-1, GROUP).abs().amax(dim=1) if len(filled) else filled
        coarse = _rounded_up(most.view(-1, SUPER // GROUP).amax(dim=1) if len(filled) else filled)
        unit = coarse.double().repeat_interleave(SUPER // GROUP) / STEEPEST
        numbers = torch.where(unit > 0, (most.double() / unit).ceil(), 0).clamp(0, STEEPEST)
        energies = kernels.for_device(vector.device).energies(filled, SUPER).cpu().numpy()
        chosen = torch.from_numpy(allocate(energies, self._budget(len(vector)))).to(vector.device)
        return filled, coarse, numbers.nan_to_num(0).to(torch.uint8), chosen

    def _budget(self, size: int) -> int:
        """The sum of the widths of all super-groups."""
        count = _supers(size)
        spare = int(self.bits * size / 8 - _head_bytes(count)) // (SUPER // 8)
        return min(max(WIDTHS[0] * count, spare), WIDTHS[-1] * count)

    def _open(self, payload: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns coarse scales, numbers of group scales, tables, and the codes.

        Raises:
            ValueError: the widths do not exist, or do not fit into the payload.
        """
        count = _supers(size)
        sizes = [-(-count // 4), 2 * count, SUPER // GROUP * count]
        widths, coarse, fine, body = payload.split([*sizes, len(payload) - sum(sizes)])
        shifts = torch.arange(0, 8, 2, device=payload.device)
        chosen = (widths.long().unsqueeze(1) >> shifts & 3).flatten()[:count]
        if (chosen >= len(WIDTHS)).any():
            raise ValueError(f"{self.name}: the payload has a width that does not exist")
        if torch.tensor(WIDTHS, device=payload.device)[chosen].sum() > self._budget(size):
            raise ValueError(f"{self.name}: the payload has wider codes than its {len(payload)} bytes can hold")
        return coarse.clone().view(torch.bfloat16), fine, chosen, body


def allocate(energies: NDArray[np.float64], budget: int) -> NDArray[np.int64]:
    """Returns the width, as a place in ``WIDTHS``, of every super-group: the wider, the more a bit lowers the error.

    Steps from one width to the next are taken in the order of their gain per bit, until one does not fit.

    Args:
        energies: (count,) squared norms; one that is not finite counts as none.
        budget: the sum of the widths is at most this.
    """
    known = np.where(np.isfinite(energies), energies, 0.0)
    steps = np.diff(WIDTHS)
    gains = (-np.diff(ERRORS) / steps)[:, None] * known
    order = np.argsort(-gains, axis=None, kind="stable")
    spent = WIDTHS[0] * len(known) + np.cumsum(np.repeat(steps, len(known))[order])
    taken = np.zeros(gains.size, np.int64)
    taken[order[(spent <= budget) & (gains.ravel()[order] > 0)]] = 1
    chosen: NDArray[np.int64] = taken.reshape(gains.shape).sum(axis=0)
    return chosen


@lru_cache
def _tables() -> tuple[grouped.Table, ...]:
    return tuple(_table(width) for width in WIDTHS)


def _table(width: int) -> grouped.Table:
    """2^width values from -1 to 1, as dense as the cube root of a normal density, which random rounding wants."""
    normal = NormalDist(sigma=SPREAD)
    least, count = normal.cdf(-1), 2**width
    quantiles = [normal.inv_cdf(least + (1 - 2 * least) * place / (count - 1)) for place in range(count)]
    upper = [round(value / GRAIN) * GRAIN for value in quantiles[count // 2 : -1]] + [1.0]
    return grouped.Table((*(-value for value in reversed(upper)), *upper), tuple(range(count)))


def _groups(coarse: Tensor, fine: Tensor, chosen: Tensor) -> grouped.Grouped:
    """The groups with these coarse scales, numbers of group scales, and tables of super-groups."""
    each = SUPER // GROUP
    scales = coarse.double().repeat_interleave(each) / STEEPEST * fine
    return grouped.Grouped(GROUP, _tables(), chosen.repeat_interleave(each), scales)


def _rounded_up(most: Tensor) -> Tensor:
    """The least bfloat16 that is not below; NaN where there is none."""
    raised = (most.view(torch.int32) + 0xFFFF >> 16).to(torch.int16).view(torch.bfloat16)
    return torch.where(most.isfinite() & raised.isfinite(), raised, torch.nan)


def _pack_widths(chosen: Tensor) -> Tensor:
    places = torch.nn.functional.pad(chosen, (0, -len(chosen) % 4)).to(torch.uint8).view(-1, 4)
    return places[:, 0] | places[:, 1] << 2 | places[:, 2] << 4 | places[:, 3] << 6


def _packed(rows: Tensor, width: int) -> Tensor:
    """(rows, SUPER) codes to (rows, m) bytes, each of codes that are m apart, lowest bits first."""
    lanes = rows.view(len(rows), 8 // width, SUPER * width // 8)
    packed = lanes[:, 0]
    for lane in range(1, 8 // width):
        packed = packed | lanes[:, lane] << lane * width
    return packed


def _unpacked(packed: Tensor, width: int) -> Tensor:
    lanes = [packed >> lane * width & (1 << width) - 1 for lane in range(8 // width)]
    return torch.cat(lanes, dim=1)


def _supers(size: int) -> int:
    return -(-size // SUPER)


def _head_bytes(count: int) -> int:
    return -(-count // 4) + (2 + SUPER // GROUP) * count
