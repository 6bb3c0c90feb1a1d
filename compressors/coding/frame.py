"""Payloads whose symbols travel in an entropy code, framed so that damage is found.

A frame holds the bytes of the whole payload, a checksum, the mode (a code, or ``fixed`` where packed symbols are
shorter), the bytes of the head, the head, and the symbols.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from compressors import kernels
from compressors.coding.errors import CorruptPayloadError
from compressors.coding.registry import CODES, make
from compressors.deferred import Deferred
from compressors.kernels.layout import Layout, packed_bytes

if TYPE_CHECKING:
    import numpy as np
    import torch

    from compressors.coding import prefix
    from compressors.coding.prefix import Bytes
    from compressors.coding.symbol_code import SymbolCode
else:
    np, torch, prefix = Deferred("numpy"), Deferred("torch"), Deferred("compressors.coding.prefix")

_FRAME = struct.Struct("<QI")
"""Bytes of the whole payload; CRC-32 of those after the frame."""
_START = struct.Struct("<BI")
"""Index in ``_MODES``; bytes of the head."""
OVERHEAD = _FRAME.size + _START.size
"""Bytes of a frame beside head and symbols."""
_MODES = ("fixed", *CODES)


class Symbols(NamedTuple):
    """The parts of a payload without entropy code: a head, then packed symbols."""

    layout: Layout
    """How symbols are packed; its header is part of the head."""
    alphabet: int
    """Number of different symbols, at most 256: they are 0 to ``alphabet - 1``."""
    center: int | None
    """The symbol of the value zero; see ``BucketQuantizer.center``."""
    head_bytes: int
    number: int
    """Number of symbols."""

    @property
    def size(self) -> int:
        """Bytes of the payload without entropy code."""
        return self.head_bytes + packed_bytes(self.layout.bits, self.layout.bucket_size, self.number)

    def code(self, name: str) -> SymbolCode:
        """Returns the entropy code of this name for these symbols."""
        return make(name, self.layout.bits, self.alphabet, self.center)


def write(fixed: Bytes, symbols: Symbols, name: str, data: Bytes) -> int:
    """Fills ``data`` with the frame of a payload; returns the number of bytes written.

    Args:
        fixed: the payload without entropy code.
        symbols: its parts.
        name: the entropy code.
        data: room for ``OVERHEAD`` bytes more than the payload has.
    """
    head, codes = np.split(fixed, [symbols.head_bytes])
    code, start = symbols.code(name), OVERHEAD + len(head)
    data[OVERHEAD:start] = head
    mode, written = name, code.encode(_to_blocks(code, codes, symbols), data[start : start + len(codes)])
    if written is None:
        mode, written = "fixed", len(codes)
        data[start : start + written] = codes
    _close(mode, len(head), data[: start + written])
    return start + written


def read(data: Bytes, symbols: Symbols, name: str) -> Bytes:
    """Returns the payload without entropy code.

    Raises:
        CorruptPayloadError: there is none with such parts in these bytes.
    """
    mode, head_bytes = _open(data)
    start = OVERHEAD + head_bytes
    code = symbols.code(name if mode == "fixed" else mode)
    least = OVERHEAD + symbols.size if mode == "fixed" else start + symbols.number // (8 * code.block)  # a bit a block
    fits = len(data) == least if mode == "fixed" else len(data) >= least
    if head_bytes != symbols.head_bytes or not fits:
        raise CorruptPayloadError(f"the payload of {len(data)} bytes does not hold {symbols.number} coordinates")
    if mode == "fixed":
        code.check(_to_blocks(code, data[start:], symbols))
        return data[OVERHEAD:]
    fixed = np.empty(symbols.size, np.uint8)
    fixed[:head_bytes] = data[OVERHEAD:start]
    codes = fixed[head_bytes:]
    if 8 % symbols.layout.bits == 0:
        code.decode(data[start:], codes)
    else:
        codes[:] = _from_blocks(code, data[start:], symbols)
    return fixed


def _to_blocks(code: SymbolCode, codes: Bytes, symbols: Symbols) -> Bytes:
    """Packed codes are blocks as they are if their width divides eight; else symbols are, in order."""
    bits = symbols.layout.bits
    if 8 % bits == 0:
        return codes
    packed = torch.from_numpy(codes)
    found = kernels.for_device(packed.device).unpack(packed, symbols.layout, symbols.number).numpy()
    return found if code.block == 1 else prefix.join(found, bits)


def _from_blocks(code: SymbolCode, data: Bytes, symbols: Symbols) -> Bytes:
    blocks = np.empty(-(-symbols.number // code.block), np.uint8)
    code.decode(data, blocks)
    whole = blocks if code.block == 1 else prefix.split(blocks, symbols.layout.bits, symbols.number)
    unpacked = torch.from_numpy(whole)
    packed: Bytes = kernels.for_device(unpacked.device).pack(unpacked, symbols.layout).numpy()
    return packed


def _close(mode: str, head_bytes: int, payload: Bytes) -> None:
    """Writes the frame of a payload that is complete otherwise: its length, a checksum, mode, bytes of the head."""
    _START.pack_into(payload.data, _FRAME.size, _MODES.index(mode), head_bytes)
    _FRAME.pack_into(payload.data, 0, len(payload), zlib.crc32(payload[_FRAME.size :].data))


def _open(payload: Bytes) -> tuple[str, int]:
    """Returns the mode, and the bytes of the head.

    Raises:
        CorruptPayloadError: no encoder wrote these bytes.
    """
    if len(payload) < OVERHEAD:
        raise CorruptPayloadError(f"the payload of {len(payload)} bytes is too short: it was cut on its way")
    length, checksum = _FRAME.unpack_from(payload.data)
    if length != len(payload):
        raise CorruptPayloadError(f"the payload has {len(payload)} bytes but had {length} when it was made")
    if zlib.crc32(payload[_FRAME.size :].data) != checksum:
        raise CorruptPayloadError("the payload was changed on its way: its checksum differs")
    mode, head_bytes = _START.unpack_from(payload.data, _FRAME.size)
    if mode >= len(_MODES):
        raise CorruptPayloadError(f"the payload has the unknown mode {mode}")
    return _MODES[mode], head_bytes
