"""The quantizers for CUDA tensors, in Triton, with the bits of the reference.

What could change a bit, and what prevents it:

- contraction of a product and a sum into one rounding: every launch says ``enable_fp_fusion=False``;
- approximate division and square root: ``div_rn`` in float32; in float64 both are IEEE's;
- flushing of denormals: Triton's arithmetic keeps them; its ``floor`` may not, but ``rounding.floor`` does;
- the order of a sum: ``norms.fold`` adds halves explicitly, two numbers at a time;
- powers of two, the next float32 and signs are made from bits, as is rounding to bfloat16;
- reductions of integers and maxima have the same result in any order; signed zeros are compared as integers.

NaN is the exception: where a vector decodes to NaN, its sign and payload are the device's own.

Nothing here waits for the device, except for what encoding and adding integers return. Buckets of more than
``LONGEST`` coordinates, which do not fit into registers, are left to the reference, as are random subsets and groups.
Headers may begin at any byte. A key may be a tensor, so that a decoder need not fetch it from the device. Triton's
interpreter runs the same programs on CPU tensors if the environment variable TRITON_INTERPRET is 1 before this module
is imported.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from compressors.kernels import reference
from compressors.kernels.blocks import padded
from compressors.kernels.gpu import programs
from compressors.kernels.gpu.integers import add_integers as add_integers
from compressors.kernels.gpu.integers import decode_integers as decode_integers
from compressors.kernels.gpu.integers import encode_integers as encode_integers
from compressors.kernels.gpu.integers import pack_integers as pack_integers
from compressors.kernels.gpu.launch import Key, block_shape, draw, launch, parts, readable, signed
from compressors.kernels.gpu.natural import decode_natural as decode_natural
from compressors.kernels.gpu.natural import encode_natural as encode_natural
from compressors.kernels.gpu.tables import places, tables
from compressors.kernels.grouped import decode_grouped as decode_grouped
from compressors.kernels.grouped import encode_grouped as encode_grouped
from compressors.kernels.layout import Layout
from compressors.kernels.reference import water_level as water_level
from compressors.kernels.selection import largest as largest
from compressors.kernels.shuffling import shuffle as shuffle
from compressors.kernels.strata import Strata

LONGEST = 8192


def encode(vector: Tensor, layout: Layout, key: Key, payload: Tensor, strata: Strata | None = None) -> None:
    if _too_long(layout, len(vector)):
        reference.encode(vector, layout, _number(key), payload, strata)
    else:
        _encode(vector, layout, key, payload, len(vector), strata, rotated=False)


def decode(
    payload: Tensor, layout: Layout, vector: Tensor, key: Key = 0, add: bool = False, strata: Strata | None = None
) -> None:
    if _too_long(layout, len(vector)):
        reference.decode(payload, layout, vector, _number(key), add, strata)
    else:
        _decode(payload, layout, vector, key, add, len(vector), strata, rotated=False)


def encode_rotated(vector: Tensor, layout: Layout, key: Key, payload: Tensor, strata: Strata | None = None) -> None:
    _encode(vector, layout, key, payload, padded(len(vector), layout.bucket_size), strata, rotated=True)


def decode_rotated(
    payload: Tensor, layout: Layout, vector: Tensor, key: Key, add: bool = False, strata: Strata | None = None
) -> None:
    _decode(payload, layout, vector, key, add, padded(len(vector), layout.bucket_size), strata, rotated=True)


def encode_variable(
    vector: Tensor, layouts: Sequence[Layout], widths: Tensor, factors: Tensor, key: Key, body: Tensor
) -> None:
    length = layouts[0].bucket_size
    table, starts = tables(tuple(layouts), vector.device), places(widths, length)
    body.zero_()
    inputs = (readable(vector), body, table, widths, factors, *starts, signed(key), len(vector))
    launch(programs.encode_variable, len(widths), length // 8, *inputs, **block_shape(length, vector, body))


def decode_variable(
    body: Tensor, layouts: Sequence[Layout], widths: Tensor, vector: Tensor, key: Key, add: bool = False
) -> None:
    length = layouts[0].bucket_size
    table, starts = tables(tuple(layouts), vector.device), places(widths, length)
    inputs = (body, table, widths, *starts, readable(vector), signed(key), len(vector))
    launch(programs.decode_variable, len(widths), length // 8, *inputs, add=add, **block_shape(length, vector, body))


def energies(vector: Tensor, length: int) -> Tensor:
    sums = torch.empty(-(-len(vector) // length), dtype=torch.float64, device=vector.device)
    inputs = (readable(vector), sums, len(vector))
    launch(programs.energies, len(sums), length // 8, *inputs, **block_shape(length, vector))
    return sums


def unpack(packed: Tensor, layout: Layout, numel: int) -> Tensor:
    if _too_long(layout, numel):
        return reference.unpack(packed, layout, numel)
    codes = packed.new_empty(numel)
    for part in parts(numel, numel, layout.bucket_size):
        part.launch(programs.unpack, packed, codes, bits=layout.bits)
    return codes


def pack(codes: Tensor, layout: Layout) -> Tensor:
    if _too_long(layout, len(codes)):
        return reference.pack(codes, layout)
    packed = codes.new_empty(layout.payload_bytes(len(codes)) - layout.header_bytes(len(codes)))
    for part in parts(len(codes), len(codes), layout.bucket_size):
        part.launch(programs.pack, codes, packed, 0, bits=layout.bits)
    return packed


def _encode(
    vector: Tensor, layout: Layout, key: Key, payload: Tensor, numel: int, strata: Strata | None, rotated: bool
) -> None:
    packed, table = payload[layout.header_bytes(numel) :], tables((layout,) if layout.points else (), vector.device)
    whole = math.floor(layout.offset)
    for part in parts(len(vector), numel, layout.bucket_size):
        part.launch(
            programs.encode,
            *(readable(vector), payload, packed, table, *draw(key, strata)),
            bits=layout.bits,
            levels=layout.levels,
            whole=whole,
            rest=layout.offset - whole,
            kind=layout.norm,
            points=bool(layout.points),
            rotated=rotated,
            together=strata is not None,
        )


def _decode(
    payload: Tensor,
    layout: Layout,
    vector: Tensor,
    key: Key,
    add: bool,
    numel: int,
    strata: Strata | None,
    rotated: bool,
) -> None:
    packed, table = payload[layout.header_bytes(numel) :], tables((layout,) if layout.points else (), vector.device)
    for part in parts(len(vector), numel, layout.bucket_size):
        part.launch(
            programs.decode,
            *(payload, packed, table, readable(vector), *draw(key, strata)),
            bits=layout.bits,
            offset=layout.offset,
            ranged=layout.norm == "range",
            points=bool(layout.points),
            dithered=layout.dithered,
            rotated=rotated,
            together=strata is not None,
            add=add,
        )


def _number(key: Key) -> int:
    return key if isinstance(key, int) else int.from_bytes(bytes(key.tolist()), "little")


def _too_long(layout: Layout, numel: int) -> bool:
    return min(layout.bucket_size, numel) > LONGEST
