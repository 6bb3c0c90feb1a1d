"""Kernels of the quantizers: one module per device, all with the same bits for the same key.

A kernel module has these functions, on contiguous 1-D tensors of its device. A ``vector`` is float32,
float16 or bfloat16; arithmetic is float32's. A ``payload`` is uint8 and may begin at any address.
With ``add`` values are added to what the vector holds and rounded once to its dtype.

With ``strata`` the random numbers of ranks are correlated.

``encode(vector, layout, key, payload, strata)``
    writes ``layout.payload_bytes(len(vector))`` bytes, the whole payload.
``decode(payload, layout, vector, key, add, strata)``
    the inverse; key and strata matter if the layout is dithered.
``encode_rotated(vector, layout, key, payload, strata)``, ``decode_rotated(payload, layout, vector, key, add, strata)``
    the same in a random basis, which with strata is that of all ranks: every block (``blocks.padded``) is divided by
    two to its exponent, which takes it near 1, goes twice through random signs and the Hadamard matrix, and is
    quantized; its scale is then multiplied by the power of two.
``encode_variable(vector, layouts, widths, factors, key, body)``,
``decode_variable(body, layouts, widths, vector, key, add)``
    the same with a layout for every block: ``layouts[width - 1]``, its scale multiplied by ``factors`` (float64)
    too; blocks of width 0 are left out, any other width decodes to NaN. The blocks of one width lie together,
    headers first, widths in increasing order; zeros fill the rest of the body.
``energies(vector, length)``
    the sums of squares (float64) of blocks of this length, in the order of additions that norms have.
``water_level(costs, gains, least, budget, low, high)``
    for numpy arrays whatever the device: the lowest level between 2^low and 2^high (to 2^-40 of their ratio's
    logarithm) at which the bits spent do not exceed the budget, ``compressors.allocation.allocate`` says how.
``unpack(packed, layout, numel) -> codes`` and ``pack(codes, layout) -> packed``
    between the bytes after the header and one uint8 for every coordinate.

``encode_integers``, ``add_integers``, ``pack_integers``, ``decode_integers``
    integers that are summed exactly; ``integers`` defines them.
``encode_natural`` and ``decode_natural``
    signed powers of two; ``natural`` defines them.
``encode_grouped`` and ``decode_grouped``
    tables of values with a scale for every few coordinates; ``grouped`` defines them.
``largest(rows, count)``
    the largest coordinates of rows; ``selection`` defines it.
``shuffle(swaps, length)``
    random subsets; ``shuffling`` defines it.

``reference`` (plain torch, any device) defines them; the others must agree with it bit for bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from compressors.deferred import Deferred
from compressors.kernels.layout import Layout
from compressors.kernels.threads import set_threads as set_threads

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from compressors.kernels import common
    from compressors.kernels.grouped import Grouped
    from compressors.kernels.integers import Rounded
    from compressors.kernels.strata import Strata
else:
    np, torch, common = Deferred("numpy"), Deferred("torch"), Deferred("compressors.kernels.common")

Array: TypeAlias = "NDArray[np.float64]"


class Kernel(Protocol):
    def encode(
        self, vector: Tensor, layout: Layout, key: int, payload: Tensor, strata: Strata | None = None
    ) -> None: ...

    def decode(
        self,
        payload: Tensor,
        layout: Layout,
        vector: Tensor,
        key: int = 0,
        add: bool = False,
        strata: Strata | None = None,
    ) -> None: ...

    def encode_rotated(
        self, vector: Tensor, layout: Layout, key: int, payload: Tensor, strata: Strata | None = None
    ) -> None: ...

    def decode_rotated(
        self,
        payload: Tensor,
        layout: Layout,
        vector: Tensor,
        key: int,
        add: bool = False,
        strata: Strata | None = None,
    ) -> None: ...

    def encode_variable(
        self, vector: Tensor, layouts: Sequence[Layout], widths: Tensor, factors: Tensor, key: int, body: Tensor
    ) -> None: ...

    def decode_variable(
        self, body: Tensor, layouts: Sequence[Layout], widths: Tensor, vector: Tensor, key: int, add: bool = False
    ) -> None: ...

    def energies(self, vector: Tensor, length: int) -> Tensor: ...

    def water_level(
        self, costs: Array, gains: Array, least: float, budget: float, low: float, high: float
    ) -> float: ...

    def unpack(self, packed: Tensor, layout: Layout, numel: int) -> Tensor: ...

    def pack(self, codes: Tensor, layout: Layout) -> Tensor: ...

    def encode_integers(
        self,
        vector: Tensor,
        scale: float,
        bits: int,
        most: int,
        key: int | None,
        packed: Tensor,
        strata: Strata | None = None,
    ) -> Rounded: ...

    def add_integers(self, packed: Tensor, bits: int, most: int, sums: Tensor) -> bool: ...

    def pack_integers(self, integers: Tensor, bits: int, offset: int, packed: Tensor) -> None: ...

    def decode_integers(
        self, packed: Tensor, bits: int, offset: int, factor: float, vector: Tensor, add: bool = False
    ) -> None: ...

    def encode_natural(
        self, vector: Tensor, bits: int, key: int, packed: Tensor, strata: Strata | None = None
    ) -> None: ...

    def decode_natural(self, packed: Tensor, bits: int, vector: Tensor, add: bool = False) -> None: ...

    def encode_grouped(
        self, vector: Tensor, groups: Grouped, key: int | None, symbols: Tensor, strata: Strata | None = None
    ) -> None: ...

    def decode_grouped(self, symbols: Tensor, groups: Grouped, vector: Tensor) -> None: ...

    def largest(self, rows: Tensor, count: int) -> Tensor: ...

    def shuffle(self, swaps: Tensor, length: int) -> Tensor: ...


_MODULES = {"cpu": ("compressors.kernels.cpu", "numba"), "cuda": ("compressors.kernels.gpu", "triton")}
"""The kernel module of a type of device, and its language."""


def for_device(device: torch.device) -> Kernel:
    """Returns the fastest kernel module for tensors on this device; warns once if it cannot be imported."""
    return _kernel(device.type)[0]


def implementation(device: torch.device) -> str:
    """Returns the language of the kernels for this device: numba, triton or torch."""
    return _kernel(device.type)[1]


def batches(device: torch.device) -> ModuleType | None:
    """Returns the module whose ``QuantizerBatch`` codes many pieces by one call, for tensors on this device, if any."""
    if device.type == "cpu" and implementation(device) == "numba":
        return import_module("compressors.kernels.cpu.batch")
    return None


@lru_cache
def _kernel(device_type: str) -> tuple[Kernel, str]:
    if device_type in _MODULES:
        module, language = _MODULES[device_type]
        try:
            return cast("Kernel", import_module(module)), language
        except ImportError as error:
            warnings.warn(
                f"{language} cannot be imported ({error}): compressing on {device_type} takes many times as long",
                stacklevel=3,
            )
    return cast("Kernel", import_module("compressors.kernels.reference")), "torch"


def readable(vector: Tensor) -> Tensor:
    """Returns the vector in a dtype that kernels read: float64 is rounded to float32."""
    return vector.float() if vector.dtype == torch.float64 else vector


def deliver(decode: Callable[[Tensor, bool], None], vector: Tensor, add: bool) -> None:
    """Calls ``decode(vector, add)``, by way of a float32 vector if ``vector`` is float64."""
    if vector.dtype != torch.float64:
        decode(vector, add)
        return
    values = torch.empty_like(vector, dtype=torch.float32)
    decode(values, False)
    vector.add_(values) if add else vector.copy_(values)


def deliver_values(values: Tensor, vector: Tensor, add: bool) -> None:
    """Writes decoded float32 values, of which there may be more than the vector has, or adds them and rounds once."""
    found = values[: len(vector)]
    deliver(lambda target, add: common.deliver(found, target, add), vector, add)


def moderate(header: Tensor) -> bool:
    """Tells whether all float32 in these bytes are finite, and small enough that values and sums do not overflow."""
    if len(header) == 0:
        return True
    numbers = header.cpu().numpy().view(np.float32)  # at any address
    return bool(np.abs(numbers).max() < 2.0**110)
