"""Cuts vectors into slices, which are exchanged one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hvd_qgenx.exchange.codec import Codec

SLICE_BYTES = 3 << 18
"""Payload of a slice by default; see docs/performance.md for the measurements."""
MOST_SLICES = 16


def cut(codec: Codec, slice_bytes: int) -> list[int]:
    """Returns the bounds of slices of nearly ``slice_bytes`` bytes of payload, ``MOST_SLICES`` at most."""
    wanted = -(-codec.payload_bytes(0, codec.numel) // slice_bytes)
    return codec.cut(0, codec.numel, min(max(wanted, 1), MOST_SLICES))
