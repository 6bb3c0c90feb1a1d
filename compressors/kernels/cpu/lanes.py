"""Sixteen numbers at once, as a Numba type: kernels written in it are vectorised whatever the compiler sees.

``Lanes`` of a dtype are an LLVM vector of 16, for every processor (one register with AVX-512, two or four
with less). Operators act lane by lane; words (uint32) wrap around, compare as signed numbers, and shift
in zeros. Memory is addressed by an array and the index of the first of 16 elements, which need not be
aligned; like everything in kernels, indices are not checked.
"""

import operator
from contextlib import ExitStack, suppress
from pathlib import Path

from filelock import FileLock
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, njit, types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 16

_FEATURES = get_host_cpu_features() if config.CPU_NAME is None and config.CPU_FEATURES is None else {}
WIDE = _FEATURES.get("avx512f", False)
"""Does one instruction look up sixteen numbers in a table of sixteen?"""
_HALF = _FEATURES.get("avx2", False)
"""Does one look up eight in a table of eight?"""

_STAMP = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(Path(__file__).parent.glob("*.py")))


def kernel(function):
    """Compiles a function once per machine, and again when any file beside this one has changed.

    No fast-math, so that sums and products round as written. Numba by itself looks at the function's own file only,
    and each of several processes would compile what it does not find in the cache yet.
    """
    compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    compiled._cache._cache_file._source_stamp = _STAMP
    compiled.compile = _in_turn(compiled.compile, compiled._cache)
    return compiled


def _in_turn(compile_or_load, cache):
    """Lets one process compile at a time; the others find the result in the cache then."""
    lock = FileLock(Path(cache.cache_path, f"{cache._cache_file._index_name}.lock"))

    def take_turn(signature):
        with global_compiler_lock, ExitStack() as stack:
            with suppress(OSError, NotImplementedError):  # a cache that cannot be written, a file system without locks
                stack.enter_context(lock)
            return compile_or_load(signature)

    return take_turn


inline = njit(forceinline=True, error_model="numpy")
"""A part of something compiled."""


class Lanes(types.Type):
    """Sixteen numbers of a Numba dtype; booleans are masks."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


_WORD = ir.IntType(32)
_ELEMENTS = {
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
    types.uint32: _WORD,
    types.uint16: ir.IntType(16),
    types.uint8: ir.IntType(8),
    types.boolean: ir.IntType(1),
}
_SINGLE, _DOUBLE, _UINT32, _UINT16, _UINT8, _MASK = map(Lanes, _ELEMENTS)


def _vector(lanes, width=WIDTH):
    return ir.VectorType(_ELEMENTS[lanes.dtype], width)


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, _vector(lanes))


def _define_operator(symbol, floats, integers, result=None):
    @infer_global(symbol)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[0], Lanes) and args[0] == args[1]:
                return signature(result or args[0], *args)
            return None

    @lower_builtin(symbol, Lanes, Lanes)
    def _lower(context, builder, sig, args):
        emit = floats if isinstance(sig.args[0].dtype, types.Float) else integers
        return emit(builder, *args)


_define_operator(operator.add, ir.IRBuilder.fadd, ir.IRBuilder.add)
_define_operator(operator.sub, ir.IRBuilder.fsub, ir.IRBuilder.sub)
_define_operator(operator.mul, ir.IRBuilder.fmul, ir.IRBuilder.mul)
_define_operator(operator.and_, None, ir.IRBuilder.and_)
_define_operator(operator.or_, None, ir.IRBuilder.or_)
_define_operator(operator.xor, None, ir.IRBuilder.xor)
_define_operator(operator.lshift, None, ir.IRBuilder.shl)
_define_operator(operator.rshift, None, ir.IRBuilder.lshr)
for _symbol, _sign in ((operator.lt, "<"), (operator.eq, "==")):
    _define_operator(
        _symbol,
        lambda builder, a, b, sign=_sign: builder.fcmp_ordered(sign, a, b),
        lambda builder, a, b, sign=_sign: builder.icmp_signed(sign, a, b),
        _MASK,
    )


def _unary(result, emit):
    """An intrinsic of one argument; ``emit(builder, value)`` makes its instructions."""

    @intrinsic
    def function(typing_context, lanes):
        return result(lanes), lambda context, builder, sig, args: emit(builder, args[0])

    return function


def _call(builder, name, result, *args):
    function_type = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), args)


floor = _unary(_SINGLE, lambda builder, x: _call(builder, "llvm.floor.v16f32", x.type, x))
nearest = _unary(_SINGLE, lambda builder, x: _call(builder, "llvm.rint.v16f32", x.type, x))
"""To whole numbers, ties to even."""
truncate = _unary(_UINT32, lambda builder, x: builder.fptosi(x, _vector(_UINT32)))
"""Floats to words that hold signed integers."""
to_float = _unary(_SINGLE, lambda builder, x: builder.sitofp(x, _vector(_SINGLE)))
"""Words that hold signed integers to floats."""
to_double = _unary(_DOUBLE, lambda builder, x: builder.fpext(x, _vector(_DOUBLE)))
to_byte = _unary(_UINT8, lambda builder, x: builder.trunc(x, _vector(_UINT8)))
to_short = _unary(_UINT16, lambda builder, x: builder.trunc(x, _vector(_UINT16)))
to_word = _unary(_UINT32, lambda builder, x: builder.zext(x, _vector(_UINT32)))
word_of = _unary(_UINT32, lambda builder, x: builder.bitcast(x, _vector(_UINT32)))
"""The bits of floats."""
float_of = _unary(_SINGLE, lambda builder, x: builder.bitcast(x, _vector(_SINGLE)))
"""The floats with these bits."""
sign_of = _unary(_UINT32, lambda builder, x: builder.ashr(x, ir.Constant(x.type, [31] * WIDTH)))
"""All bits set where a word is negative."""


def _fold(builder, x):
    """Adds the upper half to the lower until one number is left."""
    width = WIDTH
    while width > 1:
        width //= 2
        lower, upper = _part(builder, x, 0, width), _part(builder, x, width, width)
        x = builder.fadd(lower, upper)
    return builder.extract_element(x, _WORD(0))


fold = _unary(types.float64, _fold)
greatest = _unary(types.int32, lambda builder, x: _call(builder, "llvm.vector.reduce.smax.v16i32", _WORD, x))
smallest = _unary(types.int32, lambda builder, x: _call(builder, "llvm.vector.reduce.smin.v16i32", _WORD, x))


@intrinsic
def word_bits(typing_context, value):
    """The bits of a float32 as an int32."""
    return types.int32(value), lambda context, builder, sig, args: builder.bitcast(args[0], _WORD)


@intrinsic
def float_bits(typing_context, word):
    """The float32 with the bits of an int32."""
    return types.float32(word), lambda context, builder, sig, args: builder.bitcast(args[0], ir.FloatType())


@intrinsic
def fill(typing_context, value):
    """The same number in all lanes."""

    def emit(context, builder, sig, args):
        vector = _vector(sig.return_type)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), args[0], _WORD(0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_WORD, WIDTH), [0] * WIDTH))

    return Lanes(value)(value), emit


@intrinsic
def places(typing_context):
    """The words 0 to 15."""
    return _UINT32(), lambda context, builder, sig, args: ir.Constant(_vector(_UINT32), list(range(WIDTH)))


@intrinsic
def choose(typing_context, mask, a, b):
    """``a`` where the mask is set, else ``b``."""
    return a(mask, a, b), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def descend(typing_context, node, difference):
    """Twice ``node``, plus one where ``difference``, also words, is negative: a child of a node of a heap."""

    def emit(context, builder, sig, args):
        return _call(builder, "llvm.fshl.v16i32", args[0].type, *args, ir.Constant(args[0].type, [1] * WIDTH))

    return node(node, difference), emit


def _extreme(sign):
    @intrinsic
    def function(typing_context, a, b):
        return a(a, b), lambda context, builder, sig, args: builder.select(builder.icmp_signed(sign, *args), *args)

    return function


least, most = _extreme("<"), _extreme(">")


def _part(builder, x, start, width):
    """``width`` lanes from ``start`` on."""
    return builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(_WORD, width), list(range(start, start + width))))


def _permute_halves(builder, table, index):
    """Looks each half of the places up in both halves of the table; the fourth bit says which counts."""
    half, found = WIDTH // 2, []
    for start in (0, half):
        places = _part(builder, index, start, half)
        lower, upper = (
            _call(builder, "llvm.x86.avx2.permps", ir.VectorType(ir.FloatType(), half), part, places)
            for part in (_part(builder, table, 0, half), _part(builder, table, half, half))
        )
        to_sign = builder.shl(places, ir.Constant(places.type, [28] * half))
        is_upper = builder.icmp_signed("<", to_sign, ir.Constant(places.type, [0] * half))
        found.append(builder.select(is_upper, upper, lower))
    return builder.shuffle_vector(*found, ir.Constant(ir.VectorType(_WORD, WIDTH), list(range(WIDTH))))


@intrinsic
def permute(typing_context, table, index):
    """The lanes of ``table`` (floats) at the places ``index``, words of which the last four bits count."""

    def emit(context, builder, sig, args):
        if WIDE:
            return _call(builder, "llvm.x86.avx512.permvar.sf.512", args[0].type, *args)
        if _HALF:
            return _permute_halves(builder, *args)
        chosen = ir.Constant(args[0].type, ir.Undefined)
        for lane in map(_WORD, range(WIDTH)):
            place = builder.and_(builder.extract_element(args[1], lane), _WORD(WIDTH - 1))
            element = builder.extract_element(args[0], place)
            chosen = builder.insert_element(chosen, element, lane)
        return chosen

    return table(table, index), emit


@intrinsic
def pick(typing_context, array, index):
    """The elements of an array of floats at the places ``index``, words, read one by one."""

    def emit(context, builder, sig, args):
        data = context.make_array(array)(context, builder, args[0]).data
        chosen = ir.Constant(_vector(sig.return_type), ir.Undefined)
        for lane in map(_WORD, range(WIDTH)):
            place = builder.zext(builder.extract_element(args[1], lane), ir.IntType(64))
            chosen = builder.insert_element(chosen, builder.load(builder.gep(data, [place])), lane)
        return chosen

    return Lanes(array.dtype)(array, index), emit


def _address(context, builder, array, args, element):
    data = context.make_array(array)(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), element.as_pointer())


@intrinsic
def load(typing_context, array, index):
    """The 16 elements from ``index`` on."""

    def emit(context, builder, sig, args):
        address = _address(context, builder, array, args, _vector(sig.return_type))
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.intp), emit


@intrinsic
def store(typing_context, array, index, lanes):
    """Writes 16 elements from ``index`` on."""

    def emit(context, builder, sig, args):
        address = _address(context, builder, array, args, _vector(lanes))
        builder.store(args[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@intrinsic
def prefetch(typing_context, array, index):
    """Starts to bring the element into cache; any index will do, in the array or not."""

    def emit(context, builder, sig, args):
        address = _address(context, builder, array, args, ir.IntType(8))
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), address, _WORD(0), _WORD(3), _WORD(1))
        return context.get_dummy_value()

    return types.void(array, types.intp), emit


@intrinsic
def borrow(typing_context, array):
    """The same array without a reference count, which costs more than a short row; the caller keeps the array."""

    def emit(context, builder, sig, args):
        borrowed = context.make_array(array)(context, builder, args[0])
        borrowed.meminfo = ir.Constant(borrowed.meminfo.type, None)
        return borrowed._getvalue()

    return array(array), emit
