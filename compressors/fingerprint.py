"""What tells apart compressors, or kernels, that do not make the same bits."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from compressors.base import Compressor
from compressors.deferred import Deferred

if TYPE_CHECKING:
    import torch
else:
    torch = Deferred("torch")

LENGTH = 2500


def fingerprint(compressor: Compressor, dtype: torch.dtype, device: torch.device) -> int:
    """CRC-32 of what ``compressor`` makes of a fixed vector, encoded and decoded.

    Ranks that find different numbers would not decode what the others send as they do. Also
    compiles whatever is compiled at first use. The compressor's stream stays where it is.
    """
    places = torch.arange(LENGTH, dtype=torch.int64)
    noise = (places * 2654435761 % 2**32 - 2**31).to(torch.float32)  # exact: every host starts from the same bits
    vector = (noise * 2.0 ** -(31 + places % 12).float()).to(dtype).to(device)
    payload = torch.empty(compressor.payload_bytes(LENGTH, dtype), dtype=torch.uint8, device=device)
    payload = payload[: compressor.encode(vector, payload, key=1)]
    decoded = vector.clone()
    compressor.decode(payload, decoded, add=True)
    both = torch.cat([payload, decoded.view(torch.uint8)])
    return zlib.crc32(both.cpu().numpy().tobytes())
