"""What ranks send each other comes back, and nothing that is sent can make a rank run it."""

import os
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import compressors
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Report
from hvd_qgenx.tasks.gan.losses import Losses
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.transport.objects import dumps, loads

VALUES = {
    "plain": {"a": [1, 2.5, None, True], ("b", 2): {"x"}, "bytes": b"\0\xff", 3: frozenset({1})},
    "path": (Path("/a/b.pt"), Path("c")),
    "records": [Report(bytes_sent=3), GanConfig(), Losses(1.0, 2.0, 3.0)],
    "run": SavedRun(GanConfig(), {"move": 3}),
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


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.mkdir, os.system, exec, eval, __import__, torch.load, Path.mkdir])
def test_no_function_is_called(tmp_path, function, protocol):
    target = tmp_path / "made"
    arguments = {os.system: f"mkdir {target}", exec: f"import os; os.mkdir({str(target)!r})", eval: f"exit({target})"}
    data = pickle.dumps([Calls(function, arguments.get(function, str(target)))], protocol)
    with pytest.raises(pickle.UnpicklingError, match="is no plain value and no record of ours"):
        loads(data)
    assert not target.exists()


@pytest.mark.parametrize(
    "name",
    [
        "hvd_qgenx.runs.folder os.system",  # through a module of ours
        "hvd_qgenx.runs.folder os",
        "hvd_qgenx.runs.folder write_atomically",  # a function of ours
        "hvd_qgenx.runs.folder RunFolder",  # a class of ours that is no record
        "hvd_qgenx.runs.folder ConfigurationError.__init__",
        "hvd_qgenx.runs.folder Path",  # another's class
        "hvd_qgenx.tasks.gan.saved GanConfig",  # a record, by another than its own name
        "hvd_qgenx.nowhere Report",
        "hvd_qgenxx.errors ConfigurationError",
        "tests.transport.test_objects Foreign",
        "builtins getattr",
        "torch.storage _load_from_bytes",
        "functools partial",
        "collections OrderedDict.fromkeys",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name):
    module, attribute = name.split()
    data = b"\x80\x04\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(attribute)])
    with pytest.raises((pickle.UnpicklingError, ImportError)):
        loads(data + attribute.encode() + b"\x93.")


def test_a_tensor_of_what_is_no_dtype_is_refused():
    data = dumps(torch.ones(3)).replace(b"\x8c\x07float32", b"\x8c\x07compile")
    with pytest.raises(pickle.UnpicklingError, match="a tensor of 'compile'"):
        loads(data)


def test_arrays_of_objects_are_not_sent():
    with pytest.raises(pickle.PicklingError, match="an array of object"):
        dumps(np.array([print]))


def test_what_is_cut_short_or_damaged_raises_and_no_more():
    data = dumps({"tensor": torch.arange(5.0), "array": np.arange(3), "run": VALUES["run"]})
    outcomes = 0
    for length in range(len(data)):
        with pytest.raises(Exception):  # noqa: B017, PT011 (whatever pickle makes of it)
            loads(data[:length])
    for position in range(len(data)):
        damaged = data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1 :]
        try:
            loads(damaged)
        except Exception:
            outcomes += 1
    assert outcomes > 20
