"""Codes to bytes and back: the planes of ``layout.Layout``, one after the other."""

from numba import uint8

from compressors.kernels.cpu.lanes import WIDTH, fill, inline, load, store


@inline
def pack(bits, codes, n, packed, start):
    """Writes n codes as ``bits`` times ceil(n / 8) bytes to ``packed`` from ``start`` on; clears codes up to there."""
    eighth = (n + 7) // 8
    for i in range(n, 8 * eighth):
        codes[i] = uint8(0)
    shift = uint8(0)
    if bits & 8:
        _pack_plane(codes, 8 * eighth, 8, shift, packed, start)
    if bits & 4:
        _pack_plane(codes, 4 * eighth, 4, shift, packed, start)
        start, shift = start + 4 * eighth, uint8(4)
    if bits & 2:
        _pack_plane(codes, 2 * eighth, 2, shift, packed, start)
        start, shift = start + 2 * eighth, uint8(shift + uint8(2))
    if bits & 1:
        _pack_plane(codes, eighth, 1, shift, packed, start)


@inline
def _pack_plane(codes, m, width, shift, packed, start):
    """m bytes, each of 8 / width codes that are m apart."""
    mask, whole = (1 << width) - 1, m - m % WIDTH
    for i in range(0, whole, WIDTH):
        byte = (load(codes, i) >> fill(shift)) & fill(uint8(mask))
        for lane in range(1, 8 // width):
            field = (load(codes, lane * m + i) >> fill(shift)) & fill(uint8(mask))
            byte = byte | (field << fill(uint8(lane * width)))
        store(packed, start + i, byte)
    for i in range(whole, m):
        byte = 0
        for lane in range(8 // width):
            byte |= (codes[lane * m + i] >> shift & mask) << lane * width
        packed[start + i] = uint8(byte)


@inline
def unpack(bits, packed, start, n, codes):
    """The inverse of ``pack``; writes up to 7 codes beyond."""
    eighth = (n + 7) // 8
    shift = uint8(0)
    if bits & 8:
        _unpack_plane(packed, start, 8 * eighth, 8, shift, codes)
    if bits & 4:
        _unpack_plane(packed, start, 4 * eighth, 4, shift, codes)
        start, shift = start + 4 * eighth, uint8(4)
    if bits & 2:
        _unpack_plane(packed, start, 2 * eighth, 2, shift, codes)
        start, shift = start + 2 * eighth, uint8(shift + uint8(2))
    if bits & 1:
        _unpack_plane(packed, start, eighth, 1, shift, codes)


@inline
def _unpack_plane(packed, start, m, width, shift, codes):
    """The inverse: the first plane is written, the others are added."""
    mask, whole = (1 << width) - 1, m - m % WIDTH
    for i in range(0, whole, WIDTH):
        byte = load(packed, start + i)
        for lane in range(8 // width):
            field = ((byte >> fill(uint8(lane * width))) & fill(uint8(mask))) << fill(shift)
            store(codes, lane * m + i, field | load(codes, lane * m + i) if shift else field)
    for i in range(whole, m):
        for lane in range(8 // width):
            field = (packed[start + i] >> lane * width & mask) << shift
            codes[lane * m + i] = uint8(field | codes[lane * m + i] if shift else field)
