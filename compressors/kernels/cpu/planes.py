"""``bits`` for blocks of a multiple of 256 codes: 32 bytes of a plane at a time, whatever its width."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compressors.kernels.cpu.lanes import inline

_BYTES = 32
_VECTOR = ir.VectorType(ir.IntType(8), _BYTES)


@inline
def pack(bits, codes, n, packed, start):
    """Writes n codes as ``bits`` times n / 8 bytes to ``packed`` from ``start`` on."""
    if bits & 8:
        _pack_8_0(codes, n, packed, start)
        return
    if bits & 4:
        start = _pack_4_0(codes, n, packed, start)
        if bits & 2:
            start = _pack_2_4(codes, n, packed, start)
            if bits & 1:
                _pack_1_6(codes, n, packed, start)
        elif bits & 1:
            _pack_1_4(codes, n, packed, start)
    elif bits & 2:
        start = _pack_2_0(codes, n, packed, start)
        if bits & 1:
            _pack_1_2(codes, n, packed, start)
    else:
        _pack_1_0(codes, n, packed, start)


@inline
def unpack(bits, packed, start, n, codes):
    """The inverse of ``pack``."""
    if bits & 8:
        _unpack_8_0(codes, n, packed, start)
        return
    if bits & 4:
        start = _unpack_4_0(codes, n, packed, start)
        if bits & 2:
            start = _unpack_2_4(codes, n, packed, start)
            if bits & 1:
                _unpack_1_6(codes, n, packed, start)
        elif bits & 1:
            _unpack_1_4(codes, n, packed, start)
    elif bits & 2:
        start = _unpack_2_0(codes, n, packed, start)
        if bits & 1:
            _unpack_1_2(codes, n, packed, start)
    else:
        _unpack_1_0(codes, n, packed, start)


def _over_a_plane(width, step):
    """Applies ``step`` to all of a plane; returns where it ends."""

    @inline
    def whole(codes, n, packed, start):
        size = n // 8 * width
        for i in range(0, size, _BYTES):
            step(codes, i, size, packed, start + i)
        return start + size

    return whole


def _packing(width, shift):
    @intrinsic
    def step(typing_context, codes, index, size, packed, place):
        def emit(context, builder, sig, args):
            plane = ir.Constant(_VECTOR, [0] * _BYTES)
            for lane, address in _lanes(context, builder, codes, args, width):
                mask = ir.Constant(_VECTOR, [((1 << width) - 1) << lane] * _BYTES)
                moved = _shifted(builder, builder.load(address, align=1), lane - shift)
                plane = builder.or_(plane, builder.and_(moved, mask))
            builder.store(plane, _address(context, builder, packed, *args[3:]), align=1)
            return context.get_dummy_value()

        return types.void(codes, types.intp, types.intp, packed, types.intp), emit

    return _over_a_plane(width, step)


def _unpacking(width, shift):
    @intrinsic
    def step(typing_context, codes, index, size, packed, place):
        def emit(context, builder, sig, args):
            plane = builder.load(_address(context, builder, packed, *args[3:]), align=1)
            mask = ir.Constant(_VECTOR, [((1 << width) - 1) << shift] * _BYTES)
            for lane, address in _lanes(context, builder, codes, args, width):
                field = builder.and_(_shifted(builder, plane, shift - lane), mask)
                if shift:
                    field = builder.or_(field, builder.load(address, align=1))
                builder.store(field, address, align=1)
            return context.get_dummy_value()

        return types.void(codes, types.intp, types.intp, packed, types.intp), emit

    return _over_a_plane(width, step)


def _lanes(context, builder, codes, args, width):
    """(place of the lowest bit in a byte, address of the 32 codes) of all lanes of a plane."""
    source, index, size = args[:3]
    for lane in range(8 // width):
        yield (
            lane * width,
            _address(context, builder, codes, source, builder.add(index, builder.mul(size, size.type(lane)))),
        )


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _shifted(builder, values, by):
    amount = ir.Constant(_VECTOR, [abs(by)] * _BYTES)
    return builder.shl(values, amount) if by > 0 else builder.lshr(values, amount)


_PLANES = ((8, 0), (4, 0), (2, 0), (2, 4), (1, 0), (1, 2), (1, 4), (1, 6))
"""(width, lowest bit) of all planes that there are."""
_pack_8_0, _pack_4_0, _pack_2_0, _pack_2_4, _pack_1_0, _pack_1_2, _pack_1_4, _pack_1_6 = (
    _packing(*plane) for plane in _PLANES
)
_unpack_8_0, _unpack_4_0, _unpack_2_0, _unpack_2_4, _unpack_1_0, _unpack_1_2, _unpack_1_4, _unpack_1_6 = (
    _unpacking(*plane) for plane in _PLANES
)
