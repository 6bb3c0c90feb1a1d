"""Damages files, each in a way that a seed decides."""

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import torch

Text = Callable[[random.Random, bytes], bytes]

LONG = "Q" * 300
"""A part of a value that is too long to be repeated."""
WORDS = (
    *("", "-1", "1e308", "nan", "inf", "null", "true", "[]", "{}", "[[[", "0x" + "f" * 5000, "9" * 5000, "1_0"),
    *("2001-99-99", "2001-01-01", "*a", "&a [*a]", "!!int x", "!!timestamp x", f'"{LONG}"', LONG, "\0", '"', "=", ":"),
    *("[" * 2000, "{a: " * 2000, "- " * 2000, "a." * 40000, "\\ud800", '{"a": ' * 2000, "1e999", "-0.0", "# x"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 2**70, 10**4000, 1e308, -1e308, float("nan"), float("inf"), "", "x", LONG, "../..", "\0"),
    *([], {}, [LONG] * 50, {LONG: LONG}, [[[[[[[[[[]]]]]]]]]], [1, "x"], {"": None}, "1e5", 10**15),
)


def truncated(at: random.Random, data: bytes) -> bytes:
    return data[: at.randrange(len(data) + 1)]


def flipped(at: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(at.choice((1, 1, 4, 50))):
        if changed:
            changed[at.randrange(len(changed))] = at.randrange(256)
    return bytes(changed)


def with_a_word(at: random.Random, data: bytes) -> bytes:
    """Writes a word over another, or between two."""
    words = data.split(at.choice((b" ", b",", b"\n", b"=", b": ")))
    place = at.randrange(len(words))
    separator = at.choice((b" ", b",", b"\n", b"=", b": "))
    return separator.join([*words[:place], at.choice(WORDS).encode(), *words[place + at.randrange(2) :]])


def with_a_value(at: random.Random, data: bytes) -> bytes:
    """Writes a word in place of what follows a key."""
    lines = data.split(b"\n")
    place = at.randrange(len(lines))
    for mark in (b" = ", b": ", b","):
        if mark in lines[place]:
            lines[place] = lines[place].partition(mark)[0] + mark + at.choice(WORDS).encode()
            break
    return b"\n".join(lines)


def with_lines_moved(at: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    one, other = at.randrange(len(lines)), at.randrange(len(lines))
    match at.randrange(3):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            del lines[one]
    return b"\n".join(lines)


def with_a_line(at: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    lines.insert(at.randrange(len(lines) + 1), at.choice((b"", b"\xff,1", b"  ", b"\r", b",,,,", b"x" * 2_000_000)))
    return b"\n".join(lines)


def huge(at: random.Random, data: bytes) -> bytes:
    return data + at.choice((b" ", b"\n", b"#", b"9")) * (9 << 20)


def nothing(at: random.Random, _: bytes) -> bytes:
    return at.choice((b"", b"\n", b"\n\n\n", b"\xff\xfe", b"\0" * 100, b"null", b"[]", b"{}", b"3", b'""'))


TEXTS: tuple[Text, ...] = (
    *(truncated, flipped, with_a_word, with_a_word, with_a_value, with_a_value, with_lines_moved, with_a_line),
    nothing,
)


def text(seed: str, data: bytes) -> bytes:
    """Returns damaged text; one in fifty is huge, which takes longest."""
    at = random.Random(seed)
    return (huge if at.random() < 0.02 else at.choice(TEXTS))(at, data)


def json_text(seed: str, data: bytes) -> bytes:
    """Returns JSON in which a value is another or is not there, or damaged text."""
    at = random.Random(seed)
    if at.random() < 0.3:
        return text(seed, data)
    value = json.loads(data)
    _change(at, value, VALUES)
    limit = float("inf")
    return json.dumps(value, default=lambda _: limit).encode()


def archive(seed: str, data: bytes) -> bytes:
    """Returns what ``torch.save`` wrote with an entry changed, dropped or misshapen, compressed, or damaged text."""
    at = random.Random(seed)
    match at.randrange(10):
        case 0:
            return at.choice((truncated, flipped, nothing))(at, data)
        case 1:
            return compressed(data)
    state = torch.load(io.BytesIO(data), weights_only=True)
    state = copy.deepcopy(state)
    _change(at, state, (*VALUES, *_tensors(at)))
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def compressed(data: bytes, padding: int = 1 << 24) -> bytes:
    """Returns an archive whose parts are compressed, the pickle with many bytes behind it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + bytes(padding if name.endswith(".pkl") else 0))
    return out.getvalue()


def _tensors(at: random.Random) -> Iterator[Any]:
    shape = [at.randrange(1, 5) for _ in range(at.randrange(4))]
    yield torch.zeros(shape)
    yield torch.ones(shape, dtype=at.choice((torch.float64, torch.int64, torch.bool, torch.bfloat16, torch.uint8)))
    yield torch.ones(1).expand(1 << 40)
    yield torch.eye(3).to_sparse()
    yield torch.empty(5, device="meta")
    yield torch.full((4,), float("nan"))


def _change(at: random.Random, value: Any, values: tuple[Any, ...]) -> None:
    """Changes, drops or renames one entry, however deep, of tables and lists."""
    places = list(_places(value))
    inside, key = at.choice(places)
    match at.randrange(4):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, dict):
            inside[at.choice((LONG, "x", 7))] = inside.pop(key)
        case _:
            inside[key] = _resized(at, inside[key]) if at.random() < 0.3 else at.choice(values)


def _resized(at: random.Random, value: Any) -> Any:
    """Returns a value of the same type, but another size or sign."""
    if isinstance(value, torch.Tensor):
        return at.choice((value[None], value.flatten()[:-1], value.double(), value.to_sparse(), value.flatten()[:0]))
    if isinstance(value, int | float):
        return at.choice((-value, value + 1, value * 2**40))
    return value * 2 if isinstance(value, str | list | tuple) else value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)
