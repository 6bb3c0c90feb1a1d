"""What ranks send each other comes back, and nothing that is sent can make a rank run it."""

import os
import pickle
import tracemalloc
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

import compressors
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Report
from hvd_qgenx.tasks.gan.losses import Losses
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.transport.objects import MessageError, dumps, loads

TIMES = float(os.environ.get("HVD_QGENX_FUZZ", "1"))
"""Multiplies the number of damaged messages."""

VALUES = {
    "plain": {"a": [1, 2.5, None, True], ("b", 2): {"x"}, "bytes": b"\0\xff", 3: frozenset({1})},
    "path": (Path("/a/b.pt"), Path("c")),
    "records": [Report(bytes_sent=3), GanConfig(), Losses(1.0, 2.0, 3.0)],
    "run": SavedRun(GanConfig(), {"move": 3}, Path("run/checkpoint.pt")),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back(name):
    back = loads(dumps(VALUES[name]))
    assert back == VALUES[name]
    assert repr(back) == repr(VALUES[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_tensors_come_back(dtype, shape):
    tensor = torch.arange(6)[: torch.Size(shape).numel()].reshape(shape).to(dtype)
    back = loads(dumps({"t": tensor}))["t"]
    assert (back.dtype, back.shape) == (dtype, tensor.shape)
    assert torch.equal(back, tensor)
    back.fill_(1)  # it owns its memory


def test_a_view_brings_no_more_than_it_shows():
    whole = torch.arange(100_000.0)
    view = whole.view(-1, 2)[:3, 1]
    assert len(dumps(view)) < 500
    assert torch.equal(loads(dumps(view)), view)
    assert not loads(dumps(torch.ones(2, requires_grad=True) * 2)).requires_grad


def test_arrays_come_back():
    for array in (np.arange(6, dtype=np.float16).reshape(2, 3).T, np.zeros((0, 2)), np.array(3)):
        back = loads(dumps(array))
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
    assert loads(dumps(np.float32(0.5))) == np.float32(0.5)
    assert type(loads(dumps(np.float32(0.5)))) is np.float32


def test_an_error_comes_back():
    back = loads(dumps(ConfigurationError("no data")))
    assert (type(back), str(back)) == (ConfigurationError, "no data")


def test_states_come_back():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    compressor = compressors.make("alq", bits=2)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "compressor": compressor.state_dict()}
    back = loads(dumps(state))
    assert isinstance(back["model"], OrderedDict)
    model.load_state_dict(back["model"])
    optimizer.load_state_dict(back["optimizer"])
    compressor.load_state_dict(back["compressor"])
    assert repr(back) == repr(state)


@dataclass
class Foreign:
    """Of no package of ours."""


class Calls:
    """A pickle of this calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


def message(like: object, *parts: object) -> bytes:
    """The bytes of a value of the kind of ``like`` with other parts."""
    data = bytearray(dumps(parts))
    data[0] = dumps(like)[0]
    return bytes(data)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.mkdir, os.system, exec, eval, __import__, torch.load, Path.mkdir])
def test_no_function_is_called(tmp_path, function, protocol):
    target = tmp_path / "made"
    arguments = {os.system: f"mkdir {target}", exec: f"import os; os.mkdir({str(target)!r})", eval: f"exit({target})"}
    data = pickle.dumps([Calls(function, arguments.get(function, str(target)))], protocol)
    with pytest.raises(MessageError, match="a rank sent what is no message"):
        loads(data)
    assert not target.exists()


NAMES = [
    "hvd_qgenx.runs.folder os.system",  # through a module of ours
    "hvd_qgenx.runs.folder os",
    "hvd_qgenx.runs.folder write_atomically",  # a function of ours
    "hvd_qgenx.runs.folder RunFolder",  # a class of ours that is no record
    "hvd_qgenx.runs.folder ConfigurationError.__init__",
    "hvd_qgenx.runs.folder Path",  # another's class
    "hvd_qgenx.tasks.gan.saved GanConfig",  # a record, by another than its own name
    "hvd_qgenx.nowhere Report",
    "hvd_qgenx.__main__ main",
    "hvd_qgenxx.errors ConfigurationError",
    "tests.transport.test_objects Foreign",
    "builtins getattr",
    "torch.storage _load_from_bytes",
    "functools partial",
    "collections OrderedDict.fromkeys",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(name):
    module, attribute = name.split()
    with pytest.raises(MessageError, match=r"is no record of ours|No module named"):
        loads(message(Report(), module, attribute, [], {}))


def test_records_get_their_fields_without_their_code(monkeypatch):
    data = dumps((Report(bytes_sent=3), GanConfig(), ConfigurationError("no data")))
    for kind in (Report, GanConfig, ConfigurationError):
        monkeypatch.setattr(kind, "__init__", dumps)  # which would fail
        monkeypatch.setattr(kind, "__setattr__", dumps)
    report, _, error = loads(data)
    assert report.bytes_sent == 3
    assert str(error) == "no data"


def test_no_attribute_of_a_class_or_function_can_be_set():
    """Attributes are those of an object that has just been made; nothing else has a place to name them."""
    before = {name: vars(kind).copy() for name, kind in (("Report", Report), ("Path", Path), ("dumps", dumps))}
    for attributes in ({"__init__": 1, "exists": 2, "__class__": 3, "__dict__": {"bytes_sent": 4}}, {1: 2}, [1], None):
        for name in ("Report", "__class__", "mro"):
            try:
                loads(message(Report(), "hvd_qgenx.exchange.report", name, [], attributes))
            except MessageError:
                assert name != "Report" or 1 in (attributes or [1])
    assert before == {name: vars(kind) for name, kind in (("Report", Report), ("Path", Path), ("dumps", dumps))}
    poisons = (
        b"\x80\x04\x8c\x07pathlib\x8c\tPosixPath\x93N}\x8c\x06exists\x8c\x0bcollections\x8c\x0bOrderedDict\x93s\x86b.",
        b"\x80\x04K\x01r\x00\x00\x00\x08.",  # a memo of 2^27 places
    )
    for poison in poisons:
        with pytest.raises(MessageError):
            loads(poison)
    assert Path("/").exists()


@pytest.mark.parametrize(
    ("like", "parts"),
    [
        (torch.ones(3), ("compile", (1,), b"1234")),
        (torch.ones(3), ("qint8", (4,), b"1234")),
        (torch.ones(3), ("float32", (1 << 40,), b"")),  # which says nothing of so many numbers
        (torch.ones(3), ("float32", (3,), b"12345678")),
        (torch.ones(3), ("float32", (1,), b"123")),
        (torch.ones(3), ("float32", 1, [1.0])),
        (np.ones(3), ("O", (1,), b"12345678")),
        (np.ones(3), ("(1000,)f8", (1,), b"")),
        (np.ones(3), ("<f8", (1 << 40,), b"")),
        (np.ones(3), ("<f8", (1 << 40, 0, -1), b"")),
        (np.float32(1), ("<f8", (1 << 40,), b"")),
        ({}, (1,)),
        ({}, ([], 1)),
        ({1}, ([],)),
        (OrderedDict(), ()),
        (OrderedDict(), ({}, 1)),
        (Losses(1.0, 2.0, 3.0), ("hvd_qgenx.tasks.gan.losses", "Losses", [1.0], {})),
    ],
)
def test_parts_that_do_not_fit_are_refused(like, parts):
    with pytest.raises(MessageError, match="a rank sent what is no message"):
        loads(message(like, *parts))


@pytest.mark.parametrize("value", [[1, 2], (), {1: 2}, b"bytes", "text", 3, torch.ones(3)], ids=str)
@pytest.mark.parametrize("length", [1 << 31, 1 << 40, 1 << 63, (1 << 64) - 1])
def test_memory_is_bounded_by_the_bytes_received(value, length):
    data = bytearray(dumps(value))
    data[1:9] = length.to_bytes(8, "little")
    tracemalloc.start()
    try:
        with pytest.raises(MessageError):
            loads(bytes(data))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_values_are_nested_only_so_deep():
    for depth, is_refused in ((99, False), (101, True), (100_000, True)):
        nested: list[object] = []
        for _ in range(depth):
            nested = [nested]
        head = dumps([1])[:9]
        if is_refused:
            with pytest.raises(MessageError, match="nested more than 100 deep"):
                dumps(nested)
            with pytest.raises(MessageError, match="a rank sent what is no message"):
                loads(head * depth + dumps([]))
        else:
            assert loads(dumps(nested)) == nested == loads(head * depth + dumps([]))


class Text(str):
    """No plain value, though of a class derived from one."""


@pytest.mark.parametrize(
    "value",
    [np.array([print]), np.array(["a"]), Foreign(), print, int, Text("a"), 1j, range(3), object(), ValueError("a")],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_read_is_not_sent(value):
    with pytest.raises(MessageError, match="cannot be sent"):
        dumps([value])


def test_a_sentence_never_repeats_a_long_value():
    with pytest.raises(MessageError) as caught:
        loads(message(Report(), "hvd_qgenx." + "a" * 10_000, "b" * 10_000, [], {}))
    assert len(str(caught.value)) < 300


def test_what_is_cut_short_is_refused():
    data = dumps({"tensor": torch.arange(5.0), "array": np.arange(3), "run": VALUES["run"]})
    for length in range(0, len(data), 7):
        with pytest.raises(MessageError):
            loads(data[:length])
    with pytest.raises(MessageError, match="1 bytes more than its message"):
        loads(data + b"\0")


def test_damaged_messages_are_refused_or_read():
    """Every other outcome is an error of this test: another exception, memory beyond the bytes, a changed class."""
    state = torch.optim.Adam(torch.nn.Linear(3, 2).parameters()).state_dict()
    seeds = [dumps(value) for value in (VALUES["records"], VALUES["run"], VALUES["plain"], state, np.arange(9.0))]
    random = Random(20)
    classes = {kind: dict(vars(kind)) for kind in (Report, GanConfig, Losses, SavedRun, ConfigurationError)}
    refused = 0
    for _ in range(round(3000 * TIMES)):
        data = mutated(random, seeds)
        try:
            loads(data)
        except MessageError:
            refused += 1
    assert refused > 0
    assert classes == {kind: dict(vars(kind)) for kind in classes}


def mutated(random: Random, seeds: list[bytes]) -> bytes:
    """A message with some bytes changed, cut, repeated, or taken from another."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        change = random.randrange(5)
        if change == 0 and at < len(data):
            data[at] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
        elif change == 1:
            del data[at : at + random.randint(1, 9)]
        elif change == 2:
            data[at:at] = random.randbytes(random.randint(1, 9))
        elif change == 3:
            other = random.choice(seeds)
            start = random.randrange(len(other))
            data[at : at + 9] = other[start : start + random.randint(1, 40)]
        else:
            data[at : at + 8] = random.choice((0, 1, 1 << 31, 1 << 62, (1 << 64) - 1)).to_bytes(8, "little")
    return bytes(data)
