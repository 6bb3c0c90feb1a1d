"""Codes to bytes and back: the planes of ``layout.Layout``, one after the other.

Plain loops over slices of equal length, which the compiler vectorises.
"""

from numba import uint8

from compressors.kernels.cpu.lanes import inline


@inline
def pack(bits, codes, n, packed, start):
    """Writes n codes as ``bits`` times ceil(n / 8) bytes to ``packed`` from ``start`` on; clears codes up to there."""
    eighth = (n + 7) // 8
    for i in range(n, 8 * eighth):
        codes[i] = uint8(0)
    shift = uint8(0)
    if bits & 8:
        _copy(codes[: 8 * eighth], packed[start : start + 8 * eighth])
    if bits & 4:
        _pack_halves(codes, 4 * eighth, packed[start : start + 4 * eighth])
        start, shift = start + 4 * eighth, uint8(4)
    if bits & 2:
        _pack_quarters(codes, 2 * eighth, shift, packed[start : start + 2 * eighth])
        start, shift = start + 2 * eighth, uint8(shift + uint8(2))
    if bits & 1:
        _pack_eighths(codes, eighth, shift, packed[start : start + eighth])


@inline
def _copy(source, target):
    for i in range(len(source)):
        target[i] = source[i]


@inline
def _pack_halves(codes, m, plane):
    a, b = codes[:m], codes[m : 2 * m]
    for i in range(m):
        plane[i] = (a[i] & uint8(15)) | uint8(b[i] << uint8(4))


@inline
def _pack_quarters(codes, m, shift, plane):
    a, b, c, d = codes[:m], codes[m : 2 * m], codes[2 * m : 3 * m], codes[3 * m : 4 * m]
    for i in range(m):
        low = _field(a[i], shift, 3) | uint8(_field(b[i], shift, 3) << uint8(2))
        high = _field(c[i], shift, 3) | uint8(_field(d[i], shift, 3) << uint8(2))
        plane[i] = low | uint8(high << uint8(4))


@inline
def _pack_eighths(codes, m, shift, plane):
    a, b, c, d = codes[:m], codes[m : 2 * m], codes[2 * m : 3 * m], codes[3 * m : 4 * m]
    e, f, g, h = codes[4 * m : 5 * m], codes[5 * m : 6 * m], codes[6 * m : 7 * m], codes[7 * m : 8 * m]
    for i in range(m):
        ab = _field(a[i], shift, 1) | uint8(_field(b[i], shift, 1) << uint8(1))
        cd = _field(c[i], shift, 1) | uint8(_field(d[i], shift, 1) << uint8(1))
        ef = _field(e[i], shift, 1) | uint8(_field(f[i], shift, 1) << uint8(1))
        gh = _field(g[i], shift, 1) | uint8(_field(h[i], shift, 1) << uint8(1))
        plane[i] = (ab | uint8(cd << uint8(2))) | uint8((ef | uint8(gh << uint8(2))) << uint8(4))


@inline
def _field(code, shift, mask):
    return uint8(uint8(code >> shift) & uint8(mask))


@inline
def unpack(bits, packed, start, n, codes):
    """The inverse of ``pack``; writes up to 7 codes beyond."""
    eighth = (n + 7) // 8
    shift = uint8(0)
    if bits & 8:
        _copy(packed[start : start + 8 * eighth], codes)
    if bits & 4:
        _unpack_plane(packed[start : start + 4 * eighth], 2, shift, codes)
        start, shift = start + 4 * eighth, uint8(4)
    if bits & 2:
        _unpack_plane(packed[start : start + 2 * eighth], 4, shift, codes)
        start, shift = start + 2 * eighth, uint8(shift + uint8(2))
    if bits & 1:
        _unpack_plane(packed[start : start + eighth], 8, shift, codes)


@inline
def _unpack_plane(plane, lanes, shift, codes):
    """Adds the bits of a plane, of which every byte holds as many codes as there are lanes."""
    m, width = len(plane), 8 // lanes
    for lane in range(lanes):
        down, part = uint8(lane * width), codes[lane * m : (lane + 1) * m]
        if shift == 0:
            for i in range(m):
                part[i] = _field(plane[i], down, (1 << width) - 1)
        else:
            for i in range(m):
                part[i] |= uint8(_field(plane[i], down, (1 << width) - 1) << shift)
