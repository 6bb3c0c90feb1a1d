"""The wire format of the quantizers.

A vector is cut into buckets of ``bucket_size`` coordinates (the last may be shorter). Each bucket
has a finite set of values, evenly spaced (``low + unit * (code - offset)``) or the layout's
``points`` times a scale. The payload holds, little endian and in this order:

1. the header: for every bucket its unit or scale, and ``low`` where the layout has one, as float32;
2. the codes: for every bucket ``bits`` times ceil(n / 8) bytes, n being its length.

The codes of a bucket are padded to a multiple of 8 with zeros and split into planes of 8, 4, 2 or
1 bits, widest first, that add up to ``bits``, lowest bits first (7 bits are planes of 4, 2 and 1).
A plane of p bits puts 8 / p codes in a byte: with m bytes in the plane, byte i holds codes i,
i + m, i + 2m, ..., lowest bits first. So packing is a few shifts of whole vectors, for every width.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

ORDERS = {"l1": 1.0, "l2": 2.0, "linf": math.inf}
"""The norms a bucket can be divided by."""


def planes(bits: int) -> Iterator[tuple[int, int]]:
    """(width, shift) of every bit plane of codes of this width; those of more than 8 bits begin with planes of 8."""
    shift = 0
    while bits - shift >= 8:
        yield 8, shift
        shift += 8
    for width in (4, 2, 1):
        if bits & width:
            yield width, shift
            shift += width


def packed_bytes(bits: int, bucket_size: int, numel: int) -> int:
    """Returns the bytes of so many codes of this width, in buckets."""
    full, tail = divmod(numel, bucket_size)
    return bits * (full * -(-bucket_size // 8) + -(-tail // 8))


class Layout(NamedTuple):
    """The wire format of one quantizer."""

    bits: int
    bucket_size: int
    levels: int
    """Number of steps between values: codes run from 0 to ``levels``."""
    offset: float
    """The code of the value ``low``, or of zero; a half-integer if zero is none of the values."""
    norm: str
    """The span of the values: ``l1``, ``l2`` or ``linf`` (symmetric about 0), ``range`` (low is sent),
    or ``projection``: the scale that makes the decoded bucket's inner product with the bucket its
    squared norm; codes are then those of the nearest points to the bucket over its root mean square. ``none``: the
    codes are integers, without a header."""
    points: tuple[float, ...] = ()
    """The values for a scale of 1, increasing, exact in float32; empty for an evenly spaced grid."""
    dithered: bool = False
    """Does the decoder subtract the random number by which a coordinate was rounded?"""

    @property
    def header_floats(self) -> int:
        return {"range": 2, "none": 0}.get(self.norm, 1)

    def buckets(self, numel: int) -> int:
        return -(-numel // self.bucket_size)

    def code_bytes(self, length: int) -> int:
        """Bytes of the codes of one bucket of this length."""
        return self.bits * -(-length // 8)

    def header_bytes(self, numel: int) -> int:
        return 4 * self.header_floats * self.buckets(numel)

    def payload_bytes(self, numel: int) -> int:
        return self.header_bytes(numel) + packed_bytes(self.bits, self.bucket_size, numel)

    def planes(self) -> Iterator[tuple[int, int]]:
        """(width, shift) of every bit plane."""
        return planes(self.bits)
