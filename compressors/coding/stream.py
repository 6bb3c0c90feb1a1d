"""Bit streams of prefix codes, compiled by Numba.

A processor waits for most of the time it spends on one bit stream: where a codeword begins is known
only when the one before has been looked up. So symbols are cut into groups of ``GROUP`` or fewer,
all but equal, and each group into four streams, which are decoded side by side.

In order: the number of bytes of every stream (uint32, little endian), then the streams. With n symbols there are
4 ceil(n / GROUP) of them, each of ceil(n / streams) symbols; the last ones may have fewer, or none. A
stream holds the codewords one after the other. The first bit of a codeword is its highest, the first
bit of the stream is the highest of the first byte, and zeros fill the last byte.
"""

import numpy as np
from numba import njit, uint8, uint64

from compressors.coding.limits import LOOK_UP_BITS

_jit = njit(cache=True, nogil=True, error_model="numpy")

GROUP = 1 << 16
ENTRY_SYMBOLS = 6
"""Most symbols that one look-up finds: an entry is 64 bits, of which 8 count bits and 8 count symbols."""
LOOKUPS = 4
"""Look-ups of one load: they take 48 bits; of the 64 that are loaded up to 7 belong to the codeword before."""


@_jit
def count(symbols):
    """Returns how often each of the 256 possible symbols occurs."""
    lanes = np.zeros((4, 256), np.int64)  # equal neighbours do not wait for each other
    whole = len(symbols) // 4 * 4
    for i in range(0, whole, 4):
        for lane in range(4):
            lanes[lane, symbols[i + lane]] += 1
    for symbol in symbols[whole:]:
        lanes[0, symbol] += 1
    return lanes[0] + lanes[1] + lanes[2] + lanes[3]


@_jit
def join(symbols, bits, blocks):
    """Two symbols to a block, the first in the lower ``bits``."""
    for i in range(len(blocks)):
        blocks[i] = uint8(symbols[2 * i] | symbols[2 * i + 1] << bits)


@_jit
def split(blocks, bits, symbols):
    """The inverse of ``join``."""
    mask = uint8((1 << bits) - 1)
    for i in range(len(blocks)):
        symbols[2 * i] = blocks[i] & mask
        symbols[2 * i + 1] = blocks[i] >> uint8(bits)


@_jit
def stream_count(symbols):
    """Number of streams for so many symbols."""
    return 4 * (-(-symbols // GROUP))


@_jit
def encode(symbols, words, lengths, data):
    """Returns the number of bytes written to ``data``, which has room for all."""
    entries = np.zeros(256, np.uint64)
    longest = 0
    for symbol in range(len(words)):
        entries[symbol] = uint64(words[symbol]) << uint64(8) | uint64(lengths[symbol])
        longest = max(longest, lengths[symbol])
    streams = stream_count(len(symbols))
    share = -(-len(symbols) // max(1, streams))
    stop = 4 * streams
    for index in range(streams):
        part = symbols[index * share : (index + 1) * share]
        written = np.int64(_encode_stream(part, entries, longest, data[stop:]))
        for k in range(4):
            data[4 * index + k] = uint8(written >> 8 * k)
        stop += written
    return stop


@_jit
def _encode_stream(symbols, entries, longest, stream):
    """Collects as many codewords as surely fit beside 7 bits; the last ones byte by byte, not to write too far."""
    window, filled, at = uint64(0), uint64(0), uint64(0)
    start = 0
    if longest <= 14:
        while start + 4 <= len(symbols) and at + uint64(8) <= uint64(len(stream)):
            word1, length1 = _pair(entries[symbols[start]], entries[symbols[start + 1]])
            word2, length2 = _pair(entries[symbols[start + 2]], entries[symbols[start + 3]])
            filled += length1 + length2
            window = (window << (length1 + length2)) | (word1 << length2) | word2
            _store(stream, at, window << (uint64(64) - filled))
            at += filled >> uint64(3)
            filled &= uint64(7)
            start += 4
    elif longest <= 28:
        while start + 2 <= len(symbols) and at + uint64(8) <= uint64(len(stream)):
            word, length = _pair(entries[symbols[start]], entries[symbols[start + 1]])
            filled += length
            window = (window << length) | word
            _store(stream, at, window << (uint64(64) - filled))
            at += filled >> uint64(3)
            filled &= uint64(7)
            start += 2

    for i in range(start, len(symbols)):
        entry = entries[symbols[i]]
        window = (window << (entry & uint64(63))) | (entry >> uint64(8))
        filled += entry & uint64(63)
        while filled >= uint64(8):
            filled -= uint64(8)
            stream[at] = uint8(window >> filled)
            at += uint64(1)
    if filled:
        stream[at] = uint8(window << (uint64(8) - filled))
        at += uint64(1)
    return at


@_jit
def _pair(first, second):
    """Two codewords as one, and its length."""
    length = second & uint64(63)
    return ((first >> uint64(8)) << length) | (second >> uint64(8)), (first + second) & uint64(63)


@_jit
def decode(data, words, lengths, symbols):
    """Fills ``symbols``; False if ``data`` does not hold exactly so many. Touches nothing outside."""
    streams = stream_count(len(symbols))
    share = -(-len(symbols) // max(1, streams))
    edges = np.empty(streams + 1, np.int64)
    edges[0] = 4 * streams
    if len(data) < 4 * streams:
        return False
    for index in range(streams):
        size = np.int64(0)
        for k in range(4):
            size |= np.int64(data[4 * index + k]) << 8 * k
        edges[index + 1] = edges[index] + size
    if edges[-1] != len(data):
        return False

    code = _sorted(words, lengths)
    table = _table(code)
    position, place = np.empty(4, np.uint64), np.empty(4, np.uint64)
    ends, stops = np.empty(4, np.uint64), np.empty(4, np.uint64)
    right = True
    for first in range(0, streams, 4):
        for k in range(4):
            position[k], ends[k] = 8 * edges[first + k], 8 * edges[first + k + 1]
            place[k] = min((first + k) * share, len(symbols))
            stops[k] = min((first + k + 1) * share, len(symbols))
        _decode_four(data, table, code, symbols, position, ends, place, stops)
        for k in range(4):
            right &= _decode_one(data, table, code, symbols, position[k], ends[k], place[k], stops[k])
    return right


@_jit
def _decode_four(data, table, code, symbols, position, ends, place, stops):
    """Until one of the four streams nears its end; ``position`` (bits) and ``place`` say how far it came."""
    step = _step(code)
    before = ~uint64(0)
    while place.sum() != before:  # else all stand before bits that no codeword begins with
        before = place.sum()
        rounds = np.int64(GROUP)
        for k in range(4):
            rounds = min(rounds, _rounds(position[k], ends[k], place[k], stops[k], step))
        while rounds > 0:
            p0, p1, p2, p3 = position
            o0, o1, o2, o3 = place
            rounds, p0, p1, p2, p3, o0, o1, o2, o3 = _look_up_four(
                data, table, symbols, rounds, p0, p1, p2, p3, o0, o1, o2, o3
            )
            position[0], position[1], position[2], position[3] = p0, p1, p2, p3
            place[0], place[1], place[2], place[3] = o0, o1, o2, o3
            for k in range(4):
                position[k], place[k] = _long(data, table, code, symbols, position[k], place[k])


@_jit
def _look_up_four(data, table, symbols, rounds, p0, p1, p2, p3, o0, o1, o2, o3):
    """Decodes up to ``rounds`` rounds in all four streams; stops after a long codeword; returns the number left.

    A function of its own with so few arrays that all it works with stays in registers.
    """
    for left in range(rounds - 1, -1, -1):
        w0, w1, w2, w3 = _window(data, p0), _window(data, p1), _window(data, p2), _window(data, p3)
        for _ in range(LOOKUPS):
            e0, w0, p0, o0 = _look_up(table, symbols, w0, p0, o0)
            e1, w1, p1, o1 = _look_up(table, symbols, w1, p1, o1)
            e2, w2, p2, o2 = _look_up(table, symbols, w2, p2, o2)
            e3, w3, p3, o3 = _look_up(table, symbols, w3, p3, o3)
            if e0 == uint64(0) or e1 == uint64(0) or e2 == uint64(0) or e3 == uint64(0):
                return left, p0, p1, p2, p3, o0, o1, o2, o3
    return 0, p0, p1, p2, p3, o0, o1, o2, o3


@_jit
def _decode_one(data, table, code, symbols, position, end, place, stop):
    """The rest of a stream; False if it does not hold exactly the symbols up to ``stop``."""
    before = ~uint64(0)
    while place != before:
        before = place
        for _ in range(_rounds(position, end, place, stop, _step(code))):
            window = _window(data, position)
            for _ in range(LOOKUPS):
                _, window, position, place = _look_up(table, symbols, window, position, place)
            position, place = _long(data, table, code, symbols, position, place)

    while place < stop and position < end:
        symbol, length = _search(code, _last_window(data, position, end))
        if length == uint64(0):
            return False
        symbols[place] = symbol
        place += uint64(1)
        position += length
    last_byte_begun = (position + uint64(7)) >> uint64(3) == end >> uint64(3)
    return place == stop and last_byte_begun and _last_window(data, position, end) == uint64(0)


@_jit
def _step(code):
    """Most bits of a round."""
    longest = 0
    for length in code[2]:
        longest = max(longest, length)
    return LOOKUPS * LOOK_UP_BITS + longest


@_jit
def _rounds(position, end, place, stop, step):
    """Returns how often ``LOOKUPS`` look-ups and a long codeword fit without reading or writing too far."""
    by_bits = (np.int64(end) - np.int64(position) - 64) // step
    by_symbols = (np.int64(stop) - np.int64(place) - 8) // (LOOKUPS * ENTRY_SYMBOLS + 1)
    return min(by_bits, by_symbols)


@_jit
def _look_up(table, symbols, window, position, place):
    """Writes the next symbols (and zeros, eight bytes in all); returns their entry, and what is behind them."""
    entry = table[window >> uint64(64 - LOOK_UP_BITS)]
    _put(symbols, place, entry >> uint64(16))
    length = entry & uint64(63)
    return entry, window << length, position + length, place + ((entry >> uint64(8)) & uint64(255))


@_jit
def _long(data, table, code, symbols, position, place):
    """Writes the next symbol if the table does not know its codeword; returns position and place behind it."""
    window = _window(data, position)
    if table[window >> uint64(64 - LOOK_UP_BITS)] == uint64(0):
        symbol, length = _search(code, window)
        if length:
            symbols[place] = symbol
            return position + length, place + uint64(1)
    return position, place


@_jit
def _sorted(words, lengths):
    """The codewords from the highest of 64 bits on, in increasing order; their symbols; their lengths."""
    used = np.flatnonzero(lengths)
    starts = np.empty(len(used), np.uint64)
    for i in range(len(used)):
        starts[i] = uint64(words[used[i]]) << (uint64(64) - uint64(lengths[used[i]]))
    order = np.argsort(starts)
    return starts[order], used[order].astype(np.uint8), lengths[used[order]]


@_jit
def _search(code, window):
    """The symbol whose codeword the window begins with, and its length; 0 if there is none."""
    starts, symbols, lengths = code
    low, high = 0, len(starts)
    if high == 0:
        return uint8(0), uint64(0)
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= window:
            low = middle
        else:
            high = middle
    length = uint64(lengths[low])
    begins = (window ^ starts[low]) >> (uint64(64) - length) == uint64(0)
    return symbols[low], length if begins else uint64(0)


@_jit
def _table(code):
    """For all next ``LOOK_UP_BITS`` bits the symbols of all codewords that end among them, 0 if there is none.

    An entry: bits of these codewords (8), number of symbols (8), the symbols.
    """
    starts, symbols, lengths = code
    one = np.zeros(1 << LOOK_UP_BITS, np.uint16)  # the first symbol * 32 + length
    for i in range(len(starts)):
        length = np.int64(lengths[i])
        if length <= LOOK_UP_BITS:
            first = np.int64(starts[i] >> uint64(64 - LOOK_UP_BITS))
            one[first : first + (1 << LOOK_UP_BITS - length)] = symbols[i] << 5 | length
    table = np.zeros(1 << LOOK_UP_BITS, np.uint64)
    for bits in range(1 << LOOK_UP_BITS):
        entry, used, found = uint64(0), np.int64(0), np.int64(0)
        while found < ENTRY_SYMBOLS:
            first = np.int64(one[(bits << used) & ((1 << LOOK_UP_BITS) - 1)])
            length = first & 31
            if length == 0 or used + length > LOOK_UP_BITS:
                break
            entry |= uint64(first >> 5) << uint64(16 + 8 * found)
            used += length
            found += 1
        table[bits] = entry | uint64(found << 8 | used)
    return table


@_jit
def _put(symbols, place, word):
    for k in range(8):
        symbols[place + uint64(k)] = uint8(word >> uint64(8 * k))


@_jit
def _store(stream, at, window):
    for k in range(8):
        stream[at + uint64(k)] = uint8(window >> uint64(56 - 8 * k))


@_jit
def _window(data, position):
    """At least 57 bits from the bit ``position`` on."""
    window = uint64(0)
    for k in range(8):
        window |= uint64(data[(position >> uint64(3)) + uint64(k)]) << uint64(56 - 8 * k)
    return window << (position & uint64(7))


@_jit
def _last_window(data, position, end):
    """``_window`` with zeros beyond the bit ``end``."""
    window = uint64(0)
    at = position >> uint64(3)
    for k in range(8):
        if at + uint64(k) < end >> uint64(3):
            window |= uint64(data[at + uint64(k)]) << uint64(56 - 8 * k)
    return window << (position & uint64(7))
