"""Entropy-coded payloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from compressors import coding, parameters, registry
from compressors.base import Compressor, Shape
from compressors.coding import CorruptPayloadError, frame
from compressors.coding.frame import OVERHEAD, Symbols
from compressors.combinator import Combinator
from compressors.deferred import Deferred
from compressors.quantizer import BucketQuantizer

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
else:
    np, torch = Deferred("numpy"), Deferred("torch")


@dataclass(eq=False)
class EntropyCoded(Combinator):
    """The base of combinators that send what ``inner`` sends in an entropy code; all but the payload is ``inner``'s."""

    code: str = parameters.parameter("huffman", "Entropy code; elias is Elias's omega.", choices=coding.CODES)

    name = "coded"
    exact_size = False

    @property
    def unbiased(self) -> bool:  # type: ignore[override]
        return self.inner.unbiased

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.inner.stochastic

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        """Returns an upper bound: the size without entropy coding."""
        return OVERHEAD + self.inner.payload_bytes(shape, dtype or torch.float32)

    def variance_bound(self, tensor: Tensor) -> float:
        return self.inner.variance_bound(tensor)


@dataclass(eq=False)
class Coded(EntropyCoded):
    """Combinator: sends the symbols of ``inner`` in an entropy code, or as they are where that is shorter.

    Decodes to the same bits as ``inner`` alone; the payload is shorter, and its
    length depends on the values. Codes run on the CPU: CUDA payloads are copied there and back.

    Raises:
        ValueError: ``inner`` has no symbols.
    """

    inner: BucketQuantizer

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_symbols(self.inner)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        fixed = payload.new_empty(self.inner.payload_bytes(len(vector), vector.dtype))
        self.inner.write(vector, fixed, key, start, shared)
        return write_coded(fixed, self._symbols(len(vector)), self.code, payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        """Decodes to, or adds to, ``vector``.

        Raises:
            CorruptPayloadError: the payload was cut short, added to or changed.
        """
        self.inner.read(read_coded(payload, self._symbols(len(vector)), self.code), vector, add, start)

    def inspect(self, payload: Tensor, numel: int) -> bool:
        head_bytes = self._symbols(numel).head_bytes
        head = payload[OVERHEAD:][:head_bytes]
        if len(head) < head_bytes:
            raise CorruptPayloadError(f"the payload of {len(payload)} bytes does not hold {numel} coordinates")
        return self.inner.inspect(head, numel)

    def _symbols(self, size: int) -> Symbols:
        inner, count = self.inner, self.inner.symbol_count(size)
        head_bytes = inner.preamble_bytes + inner.layout.header_bytes(count)
        return Symbols(inner.layout, inner.alphabet, inner.center, head_bytes, count)


def write_coded(fixed: Tensor, symbols: Symbols, code: str, payload: Tensor) -> int:
    """Writes the frame of a payload (uint8) to the front of another; returns its number of bytes."""
    data = payload.numpy() if payload.device.type == "cpu" else np.empty(len(payload), np.uint8)
    written = frame.write(fixed.cpu().numpy(), symbols, code, data)
    if payload.device.type != "cpu":
        payload[:written] = torch.from_numpy(data[:written])
    return written


def read_coded(payload: Tensor, symbols: Symbols, code: str) -> Tensor:
    """Returns the payload in a frame; raises as ``frame.read`` does."""
    return torch.from_numpy(frame.read(payload.cpu().numpy(), symbols, code)).to(payload.device)


def _require_symbols(inner: Compressor) -> None:
    if not isinstance(inner, BucketQuantizer):
        able = [name for name in registry.names() if issubclass(registry.get(name), BucketQuantizer)]
        raise ValueError(f"{inner.name} has no symbols to code; compressors that have are {', '.join(able)}")
