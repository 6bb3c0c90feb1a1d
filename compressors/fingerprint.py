"""A checksum that differs between compressors, or kernels, with different bits."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from compressors.base import Compressor
from compressors.deferred import Deferred
from compressors.integers import SummedCompressor

if TYPE_CHECKING:
    import torch
else:
    torch = Deferred("torch")

LENGTH = 2500


def fingerprint(compressor: Compressor, dtype: torch.dtype, device: torch.device) -> int:
    """Returns the CRC-32 of a fixed vector's payload and decoded values.

    Ranks with different checksums would decode each other's payloads differently. The call also compiles
    kernels that are compiled at first use. The compressor's random stream does not advance.
    """
    places = torch.arange(LENGTH, dtype=torch.int64)
    noise = (places * 2654435761 % 2**32 - 2**31).to(torch.float32)  # exact: every host starts from the same bits
    vector = (noise * 2.0 ** -(31 + places % 12).float()).to(dtype).to(device)
    if isinstance(compressor, SummedCompressor):
        compressor = compressor.for_rank(0, 0, compressor.ranks)  # whose random numbers are all ranks'
        if compressor.integers is not None:
            compressor.integers.set_scales([3.0])
    payload = torch.empty(compressor.payload_bytes(LENGTH, dtype), dtype=torch.uint8, device=device)
    payload = payload[: compressor.encode(vector, payload, key=1)]
    decoded = vector.clone()
    compressor.decode(payload, decoded, add=True)
    found = [payload, decoded.clone().view(torch.uint8)]
    if isinstance(compressor, SummedCompressor):
        found.append(compressor.add_up([payload] * compressor.ranks, LENGTH))
        compressor.decode_mean(found[-1], decoded)
        found.append(decoded.view(torch.uint8))
    return zlib.crc32(torch.cat(found).cpu().numpy().tobytes())
