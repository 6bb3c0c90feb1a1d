"""The base of quantizers that round every coordinate to one of its bucket's values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from compressors import kernels
from compressors.base import Compressor, Shape, byte_tensor, numel
from compressors.batch import Batch, Piece
from compressors.kernels.layout import Layout
from compressors.kernels.strata import Strata
from compressors.kernels.threads import threads
from compressors.parameters import parameter
from compressors.rounding import CORRELATED, GridRounding, rounding_parameter

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(eq=False)
class BucketQuantizer(Compressor):
    """Rounds every coordinate to one of its bucket's values; codes are bit-packed. Works in float32.

    Payload: the preamble, the header, and the packed codes; an entropy code can carry these instead (``Coded``).
    """

    rotates: ClassVar[bool] = False
    """Are buckets quantized in a random basis?"""

    bits: int = parameter(4, "Bits per coordinate.", low=1, high=8)
    bucket_size: int = parameter(1024, "Coordinates that share one norm or range.", low=1)

    @property
    def preamble_bytes(self) -> int:
        """Bytes before the header, the same for all buckets."""
        return 0

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The wire format of header and codes."""

    def preamble(self, key: int, strata: Strata | None) -> bytes:
        """Returns the bytes that the decoder needs beside header and codes, of a payload made so."""
        return b""

    def constant_preamble(self) -> bytes | None:
        """Returns the preamble of all payloads until levels change; None if it depends on the payload's key."""
        return self.preamble(0, None)

    def read_preamble(self, preamble: bytes) -> tuple[int, Strata | None]:
        """Returns key and strata, if the decoder needs them.

        Raises:
            ValueError: this compressor cannot decode such a payload.
        """
        return 0, None

    @property
    def alignment(self) -> int:
        return self.bucket_size

    @property
    def alphabet(self) -> int:
        """Number of different symbols, at most 256: they are 0 to ``alphabet - 1``."""
        return self.layout.levels + 1

    @property
    def center(self) -> int | None:
        """The symbol of the value zero if symbols ``center - j`` and ``center + j`` are of opposite values."""
        layout = self.layout
        symmetric = 2 * layout.offset == layout.levels and layout.offset == int(layout.offset)
        return int(layout.offset) if symmetric else None

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        strata = self.strata(shared)
        body = self.write_preamble(key, payload, strata)
        encode, _ = self.kernels_for(vector.device)
        encode(kernels.readable(vector), self.layout, key, body, strata)
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        key, strata, body = self.open(payload)
        _, decode = self.kernels_for(payload.device)
        kernels.deliver(lambda target, add: decode(body, self.layout, target, key, add, strata), vector, add)

    def kernels_for(self, device: torch.device) -> tuple[Callable[..., None], Callable[..., None]]:
        """Returns the functions that encode and decode header and codes."""
        kernel = kernels.for_device(device)
        return kernel.encode, kernel.decode

    def inspect(self, payload: Tensor, numel: int) -> bool:
        body = payload[self.preamble_bytes :]
        return kernels.moderate(body[: self.layout.header_bytes(self.symbol_count(numel))])

    def batch(self, pieces: Sequence[Piece], dtype: torch.dtype, device: torch.device) -> Batch:
        kernel = kernels.batches(device)
        own = (type(self).write, type(self).read, type(self).inspect)
        usual = own == (BucketQuantizer.write, BucketQuantizer.read, BucketQuantizer.inspect)
        keyed = self.constant_preamble() is None and self.preamble_bytes != 8
        if kernel is None or not usual or keyed or dtype.itemsize > 4:
            return super().batch(pieces, dtype, device)
        planned: Batch = kernel.QuantizerBatch(self, pieces, dtype)
        return planned

    def plan_key(self, numel: int, dtype: torch.dtype) -> Hashable:
        return self.layout, self.constant_preamble(), self.preamble_bytes, self.stream.rank, threads()

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        return self.preamble_bytes + self.layout.payload_bytes(numel(shape))

    def split(self, payload: Tensor, numel: int) -> tuple[Tensor, Tensor]:
        """Returns preamble with header, and the symbols (both 1-D uint8), of the payload of ``numel`` coordinates."""
        self._require_length(payload, numel, None)
        self.open(payload)
        count = self.symbol_count(numel)
        head = self.preamble_bytes + self.layout.header_bytes(count)
        return payload[:head], kernels.for_device(payload.device).unpack(payload[head:], self.layout, count)

    def symbol_count(self, numel: int) -> int:
        """Returns the number of symbols in the payload of ``numel`` coordinates: padded blocks have more."""
        return numel

    def variance_bound(self, tensor: Tensor) -> float:
        """Returns the sum over buckets of ``bucket_bound``."""
        return sum((self.bucket_bound(bucket) for bucket in tensor.double().flatten().split(self.bucket_size)), 0.0)

    @abstractmethod
    def bucket_bound(self, bucket: Tensor) -> float:
        """Returns an upper bound on E||Q(x) - x||^2 for one bucket (float64)."""

    def write_preamble(self, key: int, payload: Tensor, strata: Strata | None = None) -> Tensor:
        """Writes the preamble at the front; returns the rest of the payload, where header and codes go."""
        if self.preamble_bytes:
            payload[: self.preamble_bytes] = byte_tensor(self.preamble(key, strata))
        return payload[self.preamble_bytes :]

    def open(self, payload: Tensor) -> tuple[int, Strata | None, Tensor]:
        """Returns key and strata, and header and codes, of a payload.

        Raises:
            ValueError: this compressor cannot decode it.
        """
        preamble = bytes(payload[: self.preamble_bytes].tolist())
        return *self.read_preamble(preamble), payload[self.preamble_bytes :]


@dataclass(eq=False)
class StochasticQuantizer(GridRounding, BucketQuantizer):
    """Stochastic rounding to the values of a bucket.

    A coordinate between two values goes to the upper one with a probability equal to its relative
    distance from the lower one, so its expectation stays.
    """

    rounding: str = rounding_parameter(CORRELATED)
