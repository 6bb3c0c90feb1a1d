"""Codes to bytes and back: the planes of ``layout.Layout``, one after the other.

Plain loops over slices of equal length, which the compiler vectorises.
"""

from numba import uint8

from compressors.kernels.cpu.lanes import jit


@jit
def pack(bits, codes, n, packed, start):
    """Writes n codes as ``bits`` times ceil(n / 8) bytes to ``packed`` from ``start`` on; clears codes up to there."""
    eighth = -(-n // 8)
    codes[n : 8 * eighth] = uint8(0)
    shift = uint8(0)
    if bits & 8:
        packed[start : start + 8 * eighth] = codes[: 8 * eighth]
    if bits & 4:
        _pack_halves(codes, 4 * eighth, packed[start : start + 4 * eighth])
        start, shift = start + 4 * eighth, uint8(4)
    if bits & 2:
        _pack_quarters(codes, 2 * eighth, shift, packed[start : start + 2 * eighth])
        start, shift = start + 2 * eighth, uint8(shift + uint8(2))
    if bits & 1:
        _pack_eighths(codes, eighth, shift, packed[start : start + eighth])


@jit
def _pack_halves(codes, m, plane):
    a, b = codes[:m], codes[m : 2 * m]
    for i in range(m):
        plane[i] = (a[i] & uint8(15)) | uint8(b[i] << uint8(4))


@jit
def _pack_quarters(codes, m, shift, plane):
    a, b, c, d = codes[:m], codes[m : 2 * m], codes[2 * m : 3 * m], codes[3 * m : 4 * m]
    for i in range(m):
        low = _field(a[i], shift, 3) | uint8(_field(b[i], shift, 3) << uint8(2))
        high = _field(c[i], shift, 3) | uint8(_field(d[i], shift, 3) << uint8(2))
        plane[i] = low | uint8(high << uint8(4))


@jit
def _pack_eighths(codes, m, shift, plane):
    a, b, c, d = codes[:m], codes[m : 2 * m], codes[2 * m : 3 * m], codes[3 * m : 4 * m]
    e, f, g, h = codes[4 * m : 5 * m], codes[5 * m : 6 * m], codes[6 * m : 7 * m], codes[7 * m : 8 * m]
    for i in range(m):
        ab = _field(a[i], shift, 1) | uint8(_field(b[i], shift, 1) << uint8(1))
        cd = _field(c[i], shift, 1) | uint8(_field(d[i], shift, 1) << uint8(1))
        ef = _field(e[i], shift, 1) | uint8(_field(f[i], shift, 1) << uint8(1))
        gh = _field(g[i], shift, 1) | uint8(_field(h[i], shift, 1) << uint8(1))
        plane[i] = (ab | uint8(cd << uint8(2))) | uint8((ef | uint8(gh << uint8(2))) << uint8(4))


@jit
def _field(code, shift, mask):
    return uint8(uint8(code >> shift) & uint8(mask))


@jit
def unpack(bits, packed, start, n, codes):
    """The inverse of ``pack``; writes up to 7 codes beyond."""
    eighth = -(-n // 8)
    shift = uint8(0)
    if bits & 8:
        codes[: 8 * eighth] = packed[start : start + 8 * eighth]
        return
    if bits & 4:
        _unpack_halves(packed[start : start + 4 * eighth], 4 * eighth, codes)
        start, shift = start + 4 * eighth, uint8(4)
    else:
        codes[: 8 * eighth] = uint8(0)
    if bits & 2:
        _unpack_quarters(packed[start : start + 2 * eighth], 2 * eighth, shift, codes)
        start, shift = start + 2 * eighth, uint8(shift + uint8(2))
    if bits & 1:
        _unpack_eighths(packed[start : start + eighth], eighth, shift, codes)


@jit
def _unpack_halves(plane, m, codes):
    a, b = codes[:m], codes[m : 2 * m]
    for i in range(m):
        byte = plane[i]
        a[i] = byte & uint8(15)
        b[i] = uint8(byte >> uint8(4))


@jit
def _unpack_quarters(plane, m, shift, codes):
    for lane in range(4):
        down, part = uint8(2 * lane), codes[lane * m : (lane + 1) * m]
        for i in range(m):
            part[i] |= uint8(_field(plane[i], down, 3) << shift)


@jit
def _unpack_eighths(plane, m, shift, codes):
    for lane in range(8):
        down, part = uint8(lane), codes[lane * m : (lane + 1) * m]
        for i in range(m):
            part[i] |= uint8(_field(plane[i], down, 1) << shift)
