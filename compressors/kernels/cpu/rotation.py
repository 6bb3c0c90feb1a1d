"""The quantizers of rotated blocks for CPU tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compressors.kernels.blocks import SHORTEST
from compressors.kernels.cpu import nearest, rotated
from compressors.kernels.cpu.plan import plan
from compressors.kernels.cpu.random import draw_for
from compressors.kernels.cpu.rotated import Keys, Places, room
from compressors.kernels.cpu.rows import parts
from compressors.kernels.layout import Layout
from compressors.kernels.strata import Strata, basis_key
from compressors.kernels.threads import share
from compressors.random import derive


def encode_rotated(vector: Tensor, layout: Layout, key: int, payload: Tensor, strata: Strata | None = None) -> None:
    count = layout.buckets(len(vector))
    _encode(vector, [layout], _keys(key, strata), _in_order(layout, count), np.ones(count), payload)


def decode_rotated(
    payload: Tensor, layout: Layout, vector: Tensor, key: int, add: bool = False, strata: Strata | None = None
) -> None:
    _decode(payload, [layout], _keys(key, strata), _in_order(layout, layout.buckets(len(vector))), vector, add)


def encode_variable(
    vector: Tensor, layouts: Sequence[Layout], widths: Tensor, factors: Tensor, key: int, body: Tensor
) -> None:
    places, stop = _by_width(widths, layouts[0].bucket_size)
    _encode(vector, layouts, _keys(key), places, factors.numpy(), body)
    body[stop:] = 0


def decode_variable(
    body: Tensor, layouts: Sequence[Layout], widths: Tensor, vector: Tensor, key: int, add: bool = False
) -> None:
    _decode(body, layouts, _keys(key), _by_width(widths, layouts[0].bucket_size)[0], vector, add)


def energies(vector: Tensor, length: int) -> Tensor:
    results = np.empty(-(-len(vector) // length))
    arguments = *parts(vector), length, results
    share(len(results), len(vector), lambda first, last: rotated.energies(*arguments, room(length), first, last))
    return torch.from_numpy(results)


def _encode(
    vector: Tensor, layouts: Sequence[Layout], keys: Keys, places: Places, factors: NDArray[np.float64], payload: Tensor
) -> None:
    arguments = *parts(vector), *_constants(layouts), keys, places, factors, payload.numpy()
    length, count = layouts[0].bucket_size, len(places.widths)
    share(count, len(vector), lambda first, last: rotated.encode(*arguments, room(length), first, last))


def _decode(payload: Tensor, layouts: Sequence[Layout], keys: Keys, places: Places, vector: Tensor, add: bool) -> None:
    arguments = payload.numpy(), *_constants(layouts), keys, places, *parts(vector), add
    length, count = layouts[0].bucket_size, len(places.widths)
    share(count, len(vector), lambda first, last: rotated.decode(*arguments, room(length), first, last))


def _keys(key: int, strata: Strata | None = None) -> Keys:
    basis = basis_key(key, strata)
    return Keys(np.uint64(derive(basis, 1)), np.uint64(derive(basis, 2)), draw_for(key, strata))


def _constants(layouts: Sequence[Layout]) -> tuple[Any, ...]:
    """Returns layouts in the form that the kernels take."""
    tables = nearest.tables(tuple(layout.points for layout in layouts if layout.points))
    return plan(layouts[0]), tables


def _in_order(layout: Layout, count: int) -> Places:
    blocks = np.arange(count)
    codes = 4 * count + layout.code_bytes(layout.bucket_size) * blocks
    return Places(SHORTEST, np.full(count, layout.bits), 4 * blocks, codes)


def _by_width(widths: Tensor, length: int) -> tuple[Places, int]:
    """The places of blocks grouped by width, and where the last ends."""
    places = Places(length, widths.numpy(), *np.empty((2, len(widths)), np.int64))
    return places, rotated.arrange(*places[1:], length)
