"""Random signs and the Hadamard transform of a block: n float32, n a power of two of at least 256."""

from llvmlite import ir
from numba import types, uint32
from numba.core import cgutils
from numba.extending import intrinsic

from compressors.kernels.cpu.lanes import WIDE, WIDTH, fill, float_of, inline, load, places, prefetch, store, word_of

_TILE = WIDTH * WIDTH

_ROUNDS = (
    [((1, 2, 4, 8), [range(WIDTH)])]
    if WIDE
    else [
        ((1, 2), [range(k, k + 4) for k in range(0, WIDTH, 4)]),
        ((4, 8), [range(k, WIDTH, 4) for k in range(4)]),
    ]
)
"""The distances of rows that are added in one go, and groups of rows that fit the processor's registers meanwhile."""


@inline
def turn(source, at, block, n, scale, k1, k2, soon, place):
    """Writes the transform of n numbers, from ``at`` on, times ``scale`` (float32) and the signs of a bucket's keys.

    As many numbers of the array ``soon`` from ``place`` on are needed next: brings them into cache.
    """
    factor, counter, mixed_k2 = fill(scale), places() + fill(k1), mixed(k2)
    for tile in range(0, n, _TILE):
        for i in range(tile, tile + _TILE, WIDTH):
            prefetch(soon, place + i)
            store(block, i, flipped(load(source, at + i) * factor, counter, mixed_k2))
            counter = counter + fill(uint32(WIDTH))
        _butterflies(block, tile)
    _far_butterflies(block, n)


@inline
def transform(block, n):
    """Multiplies the block by the Hadamard matrix, not normalised, in place."""
    for tile in range(0, n, _TILE):
        _butterflies(block, tile)
    _far_butterflies(block, n)


@inline
def mixed(k2):
    """A bucket's second key as ``flipped`` wants it."""
    return fill(uint32(k2 ^ uint32(k2 >> uint32(15))))


@inline
def flipped(x, counter, mixed_k2):
    """Lanes of floats with random signs: minus where the place's random number is below one half.

    That is the highest bit of ``random.random_words``, which its last step leaves alone.
    """
    word = (counter ^ (counter >> fill(uint32(16)))) * fill(uint32(0x21F0AAAD))
    word = (word ^ (word >> fill(uint32(15))) ^ mixed_k2) * fill(uint32(0xD35A2D97))
    below = word ^ fill(uint32(0xFFFFFFFF))
    return float_of(word_of(x) ^ (below & fill(uint32(0x80000000))))


@inline
def _far_butterflies(block, n):
    """The stages at distances of 256 and more, two at a time."""
    half = _TILE
    while 2 * half < n:
        for start in range(0, n, 4 * half):
            for i in range(start, start + half, WIDTH):
                a, b = load(block, i), load(block, i + half)
                c, d = load(block, i + 2 * half), load(block, i + 3 * half)
                a, b, c, d = a + b, a - b, c + d, c - d
                store(block, i, a + c)
                store(block, i + half, b + d)
                store(block, i + 2 * half, a - c)
                store(block, i + 3 * half, b - d)
        half *= 4
    if half < n:
        for i in range(0, half, WIDTH):
            a, b = load(block, i), load(block, i + half)
            store(block, i, a + b)
            store(block, i + half, a - b)


@intrinsic
def _butterflies(typing_context, block, index):
    """The stages at distances 1 to 128 of 256 numbers, in place: the first four inside lanes, the others between."""

    def emit(context, builder, sig, args):
        vector = ir.VectorType(ir.FloatType(), WIDTH)
        data = context.make_array(block)(context, builder, args[0]).data
        first = builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())
        addresses = [builder.gep(first, [ir.IntType(32)(k)]) for k in range(WIDTH)]
        for number, (halves, groups) in enumerate(_ROUNDS):
            for group in groups:
                rows = {k: builder.load(addresses[k], align=4) for k in group}
                if number == 0:
                    rows = {k: _inner_butterflies(builder, row) for k, row in rows.items()}
                for half in halves:
                    for k in group:
                        if not k & half:
                            a, b = rows[k], rows[k + half]
                            rows[k], rows[k + half] = builder.fadd(a, b), builder.fsub(a, b)
                for k, row in rows.items():
                    builder.store(row, addresses[k], align=4)
        return context.get_dummy_value()

    return types.void(block, types.intp), emit


def _inner_butterflies(builder, row):
    """A lane becomes the other of its pair, plus or minus itself: fused, as products with 1 and -1 are exact."""
    vector = row.type
    fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{WIDTH}f32")
    for half in (1, 2, 4, 8):
        swap = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [k ^ half for k in range(WIDTH)])
        sign = ir.Constant(vector, [-1.0 if k & half else 1.0 for k in range(WIDTH)])
        row = builder.call(fma, [row, sign, builder.shuffle_vector(row, row, swap)])
    return row
