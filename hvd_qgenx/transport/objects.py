"""Objects as bytes, in a format that holds values and nothing else.

Pickle calls the functions that its bytes name, and sets attributes of what they name, classes too. Here bytes can name
records of this project alone, which get their fields without running a line of theirs. Nothing is made before its
length has been held against the bytes that are left, so memory is bounded by the bytes received.

A value is a number that says what it is (its place in ``_FORMS``), a length, and so many bytes, or so many values.
"""

import dataclasses
import os
import struct
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvd_qgenx.errors import LocalError
from hvd_qgenx.transport.base import Transport

PACKAGES = ("compressors", "hvd_qgenx")
NUMBERS = "biufc"
"""Kinds of numpy's dtypes that hold numbers."""
DEEPEST = 100
"""Values may be nested so deep."""

_HEAD = struct.Struct("<BQ")
_FLOAT = struct.Struct("<d")


class MessageError(LocalError):
    """A value cannot be sent to other ranks, or bytes are no message of theirs."""


def dumps(value: Any) -> bytes:
    """Serializes plain values, tensors, arrays, paths, and this project's dataclasses, named tuples and errors.

    Tensors arrive on the CPU, without their history. An object that is met twice arrives as two.

    Raises:
        MessageError: the value holds something else.
    """
    data = bytearray()
    _write(value, data, 0)
    return bytes(data)


def loads(data: bytes) -> Any:
    """Returns the value that ``dumps`` was given.

    Raises:
        MessageError: it was given none, or the bytes have changed since.
    """
    reader = _Reader(data)
    try:
        value = reader.value(0)
    except Exception as error:  # whatever it is that bytes of anyone's make of it
        raise MessageError(f"a rank sent what is no message: {str(error)[:200]}") from error
    if reader.left:
        raise MessageError(f"a rank sent {len(reader.left)} bytes more than its message")
    return value


def gather(transport: Transport, value: Any, name: str) -> list[Any]:
    """Returns the values of all ranks, in rank order, by the transport's ``all_gather``; raises as the above do."""
    mine = torch.frombuffer(bytearray(dumps(value)), dtype=torch.uint8)
    return [loads(part.numpy().tobytes()) for part in transport.all_gather(mine, None, name).wait()]


class _Atom(NamedTuple):
    """A kind of values that are written as bytes."""

    kind: type
    dump: Callable[[Any], bytes]
    load: Callable[[bytes], Any]


class _Row(NamedTuple):
    """A kind of values that are written as other values."""

    kind: type
    parts: Callable[[Any], Collection[Any]]
    make: Callable[[list[Any]], Any]


def _write(value: Any, data: bytearray, depth: int) -> None:
    if depth > DEEPEST:
        raise MessageError(f"values that are nested more than {DEEPEST} deep cannot be sent")
    number = _NUMBERS.get(type(value)) or next(_NUMBERS[kind] for kind in _BASES if isinstance(value, kind))
    form = _FORMS[number]
    if isinstance(form, _Atom):
        content = form.dump(value)
        data += _HEAD.pack(number, len(content)) + content
        return
    parts = form.parts(value)
    data += _HEAD.pack(number, len(parts))
    for part in parts:
        _write(part, data, depth + 1)


class _Reader:
    """Reads values from the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self.left = memoryview(data)

    def value(self, depth: int) -> Any:
        number, length = _HEAD.unpack(self._take(_HEAD.size))
        if number >= len(_FORMS):
            raise ValueError(f"there is no kind {number} of values")
        form = _FORMS[number]
        if isinstance(form, _Atom):
            return form.load(bytes(self._take(length)))
        if depth == DEEPEST or length * _HEAD.size > len(self.left):
            raise ValueError(f"{length} values cannot follow")
        return form.make([self.value(depth + 1) for _ in range(length)])

    def _take(self, length: int) -> memoryview:
        if length > len(self.left):
            raise ValueError(f"{len(self.left)} bytes follow instead of {length}")
        taken, self.left = self.left[:length], self.left[length:]
        return taken


def _pairs(parts: list[Any]) -> dict[Any, Any]:
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _ordered(parts: list[Any]) -> OrderedDict[Any, Any]:
    attributes, *rest = parts  # as states of torch's modules have
    made = OrderedDict(_pairs(rest))
    _set_attributes(made, attributes)
    return made


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _tensor_parts(tensor: Tensor) -> tuple[str, tuple[int, ...], bytes]:
    numbers = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return _name(tensor.dtype), tuple(tensor.shape), numbers.tobytes()


def _tensor(parts: list[Any]) -> Tensor:
    name, shape, data = parts
    if name not in _DTYPES:
        raise ValueError(f"there are no tensors of {name!r}")
    dtype = _DTYPES[name]
    numbers = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return numbers.reshape(shape)


def _array_parts(array: NDArray[Any] | np.generic) -> tuple[str, tuple[int, ...], bytes]:
    if array.dtype.kind not in NUMBERS:
        raise MessageError(f"an array of {array.dtype} cannot be sent")
    return array.dtype.str, array.shape, array.tobytes()


def _array(parts: list[Any]) -> NDArray[Any]:
    name, shape, data = parts
    dtype = np.dtype(name)
    if dtype.kind not in NUMBERS:
        raise ValueError(f"there are no arrays of {name}")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _record_parts(value: Any) -> Sequence[Any]:
    kind = type(value)
    if _record_kind(kind.__module__, kind.__qualname__) is not kind:
        raise MessageError(
            f"a {kind.__module__}.{kind.__qualname__} is no plain value and no record, and cannot be sent"
        )
    inside = list(value) if isinstance(value, tuple) else list(value.args) if isinstance(value, Exception) else []
    return kind.__module__, kind.__qualname__, inside, getattr(value, "__dict__", {})


def _record(parts: list[Any]) -> Any:
    module, name, inside, attributes = parts
    kind = _record_kind(module, name)
    if kind is None:
        raise ValueError(f"{module}.{name} is no record of ours")
    if issubclass(kind, tuple):
        return kind._make(inside)  # type: ignore[attr-defined]
    made = kind.__new__(kind, *inside)
    _set_attributes(made, attributes)
    return made


def _record_kind(module: str, name: str) -> type | None:
    """Returns the dataclass, named tuple or error of this name in one of our modules; None if there is none."""
    if module.partition(".")[0] not in PACKAGES or "__" in module:
        return None
    found = getattr(import_module(module), name, None)  # never what another module has under a dotted name
    if not (isinstance(found, type) and found.__module__ == module and found.__qualname__ == name):
        return None
    is_record = dataclasses.is_dataclass(found) or issubclass(found, Exception) or hasattr(found, "_make")
    return found if is_record else None


def _set_attributes(made: Any, attributes: dict[str, Any]) -> None:
    """Sets attributes of an object that is new, past any code of its class."""
    if not all(isinstance(name, str) for name in attributes):
        raise ValueError("attributes have names")
    vars(made).update(attributes)


_FORMS: tuple[_Atom | _Row, ...] = (
    _Row(object, _record_parts, _record),
    _Row(Tensor, _tensor_parts, _tensor),
    _Row(np.ndarray, _array_parts, _array),
    _Row(np.generic, _array_parts, lambda parts: _array(parts)[()]),
    _Row(list, list, list),
    _Row(tuple, tuple, tuple),
    _Row(set, tuple, set),
    _Row(frozenset, tuple, frozenset),
    _Row(dict, lambda value: [*chain.from_iterable(value.items())], _pairs),
    _Row(OrderedDict, lambda value: [vars(value), *chain.from_iterable(value.items())], _ordered),
    _Atom(type(None), lambda value: b"", {b"": None}.__getitem__),
    _Atom(bool, lambda value: bytes([value]), {b"\0": False, b"\1": True}.__getitem__),
    _Atom(
        int,
        lambda value: value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True),
        lambda data: int.from_bytes(data, "little", signed=True),
    ),
    _Atom(float, _FLOAT.pack, lambda data: _FLOAT.unpack(data)[0]),
    _Atom(
        str, lambda value: value.encode("utf-8", "surrogatepass"), lambda data: data.decode("utf-8", "surrogatepass")
    ),
    _Atom(bytes, bytes, bytes),
    _Atom(type(Path()), os.fsencode, lambda data: Path(os.fsdecode(data))),
)
_NUMBERS = {form.kind: number for number, form in enumerate(_FORMS)}
_BASES = (Tensor, np.ndarray, np.generic, object)
"""Kinds of which derived ones are values too; the others must be exactly what they are called."""
_DTYPES = {
    _name(dtype): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
    )
}
