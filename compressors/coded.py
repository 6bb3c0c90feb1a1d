"""Entropy-coded payloads."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from compressors import coding, parameters, registry
from compressors.base import Compressor, Shape
from compressors.coding import Bytes, CorruptPayloadError
from compressors.learning import Learner
from compressors.symbols import SymbolCompressor

_FRAME = struct.Struct("<QI")
"""Bytes of the whole payload; CRC-32 of those after the frame."""
_START = struct.Struct("<BI")
"""Index in ``_MODES``; bytes of the head."""
_OVERHEAD = _FRAME.size + _START.size
_MODES = ("fixed", *coding.CODES)


@dataclass(eq=False)
class Coded(Compressor):
    """Combinator: sends the symbols of ``inner`` in an entropy code, or as they are where that is shorter.

    What is decoded is what ``inner`` alone decodes, bit for bit; the payload is shorter, and its
    length depends on the values. Codes run on the CPU: CUDA payloads are copied there and back.

    Raises:
        ValueError: ``inner`` has no symbols.
    """

    inner: SymbolCompressor
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
        coded = self._encode(fixed, len(vector))
        payload[: len(coded)] = coded
        return len(coded)

    def decode(self, payload: Tensor, vector: Tensor, add: bool = False) -> None:
        """Decodes to, or adds to, ``vector``.

        Raises:
            CorruptPayloadError: the payload was cut short, added to or changed.
        """
        self.inner.decode(self._decode(payload, len(vector)), vector, add)

    def is_finite(self, payload: Tensor, numel: int) -> bool:
        return self.inner.is_finite(self._decode(payload, numel), numel)

    def payload_bytes(self, shape: Shape, dtype: torch.dtype = torch.float32) -> int:
        """The most: that of symbols sent as they are."""
        return _OVERHEAD + self.inner.payload_bytes(shape, dtype)

    def variance_bound(self, tensor: Tensor) -> float:
        return self.inner.variance_bound(tensor)

    def for_rank(self, rank: int, seed: int | None = None) -> Self:
        other = super().for_rank(rank, seed)
        other.inner = self.inner.for_rank(rank, seed)
        other.stream = other.inner.stream
        return other

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state)

    def _encode(self, payload: Tensor, size: int) -> Tensor:
        head, symbols = self._split(payload, size)
        coded = coding.make(self.code, self.inner.alphabet, self.inner.center).encode(symbols)
        if len(head) + len(coded) < len(payload):
            framed = _frame(self.code, len(head), head, coded)
        else:
            framed = _frame("fixed", len(head), payload.cpu().numpy())
        return torch.from_numpy(framed).to(payload.device)

    def _decode(self, payload: Tensor, size: int) -> Tensor:
        data = payload.cpu().contiguous().numpy()
        mode, head_bytes = _open_frame(data)
        if mode == "fixed":
            decoded = payload[_OVERHEAD:]
        else:
            code = coding.make(mode, self.inner.alphabet, self.inner.center)
            stop = _OVERHEAD + head_bytes
            symbols = code.decode(data[stop:], self.inner.symbol_count(size))
            decoded = self.inner.join(payload[_OVERHEAD:stop], torch.from_numpy(symbols).to(payload.device), size)
        if len(decoded) != self.inner.payload_bytes(size):
            raise CorruptPayloadError(f"the payload of {len(payload)} bytes does not hold {size} coordinates")
        if mode == "fixed":
            coding.check(self._split(decoded, size)[1], self.inner.alphabet)
        return decoded

    def _split(self, payload: Tensor, size: int) -> tuple[Bytes, Bytes]:
        head, symbols = self.inner.split(payload, size)
        return head.cpu().numpy(), symbols.cpu().numpy()


def _require_symbols(inner: Compressor) -> None:
    if not isinstance(inner, SymbolCompressor):
        able = [name for name in registry.names() if issubclass(registry.get(name), SymbolCompressor)]
        raise ValueError(f"{inner.name} has no symbols to code; compressors that have are {', '.join(able)}")


def _frame(mode: str, head_bytes: int, *parts: Bytes) -> Bytes:
    """The payload: its length, a checksum, and what they protect."""
    start = np.frombuffer(_START.pack(_MODES.index(mode), head_bytes), np.uint8)
    content = np.concatenate([start, *parts])
    frame = _FRAME.pack(_FRAME.size + len(content), zlib.crc32(content.data))
    return np.concatenate([np.frombuffer(frame, np.uint8), content])


def _open_frame(payload: Bytes) -> tuple[str, int]:
    """Mode, and bytes of the head.

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
