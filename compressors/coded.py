"""Entropy-coded payloads."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from compressors import coding, kernels, parameters, registry
from compressors.base import Compressor, Shape
from compressors.coding import CorruptPayloadError
from compressors.deferred import Deferred
from compressors.learning import Learner
from compressors.quantizer import BucketQuantizer

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from compressors.coding import prefix
    from compressors.coding.prefix import Bytes
    from compressors.coding.symbol_code import SymbolCode
else:
    np, torch, prefix = Deferred("numpy"), Deferred("torch"), Deferred("compressors.coding.prefix")

_FRAME = struct.Struct("<QI")
"""Bytes of the whole payload; CRC-32 of those after the frame."""
_START = struct.Struct("<BI")
"""Index in ``_MODES``; bytes of the head."""
_OVERHEAD = _FRAME.size + _START.size
_MODES = ("fixed", *coding.CODES)


@dataclass(eq=False)
class Coded(Compressor):
    """Combinator: sends the symbols of ``inner`` in an entropy code, or as they are where that is shorter.

    Decodes to the same bits as ``inner`` alone; the payload is shorter, and its
    length depends on the values. Codes run on the CPU: CUDA payloads are copied there and back.

    Raises:
        ValueError: ``inner`` has no symbols.
    """

    inner: BucketQuantizer
    code: str = parameters.parameter("huffman", "Entropy code; elias is Elias's omega.", choices=coding.CODES)

    name = "coded"
    exact_size = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_symbols(self.inner)
        self.stream = self.inner.stream

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return self.inner.unbiased

    @property
    def alignment(self) -> int:
        return self.inner.alignment

    @property
    def learner(self) -> Learner | None:
        return self.inner.learner

    def lay_out(self, sizes: Sequence[int]) -> None:
        self.inner.lay_out(sizes)

    def encode(self, vector: Tensor, payload: Tensor, key: int, start: int = 0) -> int:
        fixed = payload.new_empty(self.inner.payload_bytes(len(vector), vector.dtype))
        self.inner.encode(vector, fixed, key, start)
        data = payload.numpy() if payload.device.type == "cpu" else np.empty(len(payload), np.uint8)
        written = self._write(fixed.cpu().numpy(), len(vector), data)
        if payload.device.type != "cpu":
            payload[:written] = torch.from_numpy(data[:written])
        return written

    def decode(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        """Decodes to, or adds to, ``vector``.

        Raises:
            CorruptPayloadError: the payload was cut short, added to or changed.
        """
        fixed = torch.from_numpy(self._read(payload.cpu().numpy(), len(vector)))
        self.inner.decode(fixed.to(payload.device), vector, add, start)

    def is_finite(self, payload: Tensor, numel: int) -> bool:
        head = payload[_OVERHEAD:][: self._head_bytes(numel)]
        if len(head) < self._head_bytes(numel):
            raise CorruptPayloadError(f"the payload of {len(payload)} bytes does not hold {numel} coordinates")
        return self.inner.is_finite(head, numel)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        """Returns an upper bound: the size without entropy coding."""
        return _OVERHEAD + self.inner.payload_bytes(shape, dtype or torch.float32)

    def variance_bound(self, tensor: Tensor) -> float:
        return self.inner.variance_bound(tensor)

    def for_rank(self, rank: int, seed: int | None = None, ranks: int = 1) -> Self:
        other = super().for_rank(rank, seed, ranks)
        other.inner = self.inner.for_rank(rank, seed, ranks)
        other.stream = other.inner.stream
        return other

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state)

    def _write(self, fixed: Bytes, size: int, data: Bytes) -> int:
        """Fills ``data`` from the inner payload; returns the number of bytes written."""
        head, codes = np.split(fixed, [self._head_bytes(size)])
        code = self._code(self.code)
        start = _OVERHEAD + len(head)
        data[_OVERHEAD:start] = head
        mode, written = self.code, code.encode(self._to_blocks(code, codes, size), data[start : start + len(codes)])
        if written is None:
            mode, written = "fixed", len(codes)
            data[start : start + written] = codes
        _frame(mode, len(head), data[: start + written])
        return start + written

    def _read(self, data: Bytes, size: int) -> Bytes:
        """Returns the inner payload.

        Raises:
            CorruptPayloadError: there is none of so many coordinates in these bytes.
        """
        mode, head_bytes = _open_frame(data)
        length, start = self.inner.payload_bytes(size), _OVERHEAD + head_bytes
        fits = len(data) == _OVERHEAD + length if mode == "fixed" else len(data) >= start
        if head_bytes != self._head_bytes(size) or not fits:
            raise CorruptPayloadError(f"the payload of {len(data)} bytes does not hold {size} coordinates")
        code = self._code(mode)
        if mode == "fixed":
            code.check(self._to_blocks(code, data[start:], size))
            return data[_OVERHEAD:]
        fixed = np.empty(length, np.uint8)
        fixed[:head_bytes] = data[_OVERHEAD:start]
        codes = fixed[head_bytes:]
        if 8 % self.inner.bits == 0:
            code.decode(data[start:], codes)
        else:
            codes[:] = self._from_blocks(code, data[start:], size)
        return fixed

    def _to_blocks(self, code: SymbolCode, codes: Bytes, size: int) -> Bytes:
        """Packed codes are blocks as they are if their width divides eight; else symbols are, in order."""
        if 8 % self.inner.bits == 0:
            return codes
        packed, count = torch.from_numpy(codes), self.inner.symbol_count(size)
        symbols = kernels.for_device(packed.device).unpack(packed, self.inner.layout, count).numpy()
        return symbols if code.block == 1 else prefix.join(symbols, self.inner.bits)

    def _from_blocks(self, code: SymbolCode, data: Bytes, size: int) -> Bytes:
        count = self.inner.symbol_count(size)
        blocks = np.empty(-(-count // code.block), np.uint8)
        code.decode(data, blocks)
        symbols = torch.from_numpy(blocks if code.block == 1 else prefix.split(blocks, self.inner.bits, count))
        packed: Bytes = kernels.for_device(symbols.device).pack(symbols, self.inner.layout).numpy()
        return packed

    def _code(self, mode: str) -> SymbolCode:
        name = self.code if mode == "fixed" else mode
        return coding.make(name, self.inner.bits, self.inner.alphabet, self.inner.center)

    def _head_bytes(self, size: int) -> int:
        return self.inner.preamble_bytes + self.inner.layout.header_bytes(self.inner.symbol_count(size))


def _require_symbols(inner: Compressor) -> None:
    if not isinstance(inner, BucketQuantizer):
        able = [name for name in registry.names() if issubclass(registry.get(name), BucketQuantizer)]
        raise ValueError(f"{inner.name} has no symbols to code; compressors that have are {', '.join(able)}")


def _frame(mode: str, head_bytes: int, payload: Bytes) -> None:
    """Writes the frame of a payload that is complete otherwise: its length, a checksum, mode, bytes of the head."""
    _START.pack_into(payload.data, _FRAME.size, _MODES.index(mode), head_bytes)
    _FRAME.pack_into(payload.data, 0, len(payload), zlib.crc32(payload[_FRAME.size :].data))


def _open_frame(payload: Bytes) -> tuple[str, int]:
    """Returns the mode, and the bytes of the head.

    Raises:
        CorruptPayloadError: no encoder wrote these bytes.
    """
    if len(payload) < _OVERHEAD:
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
