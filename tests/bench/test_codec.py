"""What is timed is verified: wrong bits are found, right ones measured."""

import numpy as np
import pytest
import torch

import compressors
from compressors import Coded, kernels
from hvd_qgenx.bench.codec import PART, Case, MismatchError, Place, configuration, measure, verify

PLACE = Place(torch.device("cpu"), torch.float32, 1)
MINMAX = Case("minmax", "4 bits", compressors.make("minmax", bits=4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["minmax", "variable", "fp16", "none"])
def test_compressors_are_right(name, dtype):
    verify(Case(name, "", compressors.make(name)), Place(torch.device("cpu"), dtype, 1), 3000)


def test_coded_payloads_are_right():
    verify(Case("coded", "", Coded(compressors.make("uniform"))), PLACE, 3000)


class Wrong:
    """Kernels that are right but for one function."""

    def __init__(self, right, name, make):
        self.right, self.name, self.make = right, name, make

    def __getattr__(self, name):
        function = getattr(self.right, name)
        return self.make(function) if name == self.name else function


def wrong_payload(encode):
    def function(vector, layout, key, payload, strata=None):
        encode(vector, layout, key, payload, strata)
        payload[-1] ^= 1

    return function


def wrong_vector(decode):
    def function(payload, layout, vector, key=0, add=False, strata=None):
        decode(payload, layout, vector, key, add, strata)
        vector[-1] = np.nextafter(vector[-1].item(), np.float32(9), dtype=np.float32).item()

    return function


def wrong_sum(decode):
    def function(payload, layout, vector, key=0, add=False, strata=None):
        decode(payload, layout, vector.zero_() if add else vector, key, add, strata)

    return function


@pytest.mark.parametrize(
    ("name", "function", "what"),
    [("encode", wrong_payload, "payload"), ("decode", wrong_vector, "decoded vector"), ("decode", wrong_sum, "sum")],
)
def test_wrong_bits_are_found(monkeypatch, name, function, what):
    wrong = Wrong(kernels.for_device(torch.device("cpu")), name, function)
    monkeypatch.setattr(kernels, "for_device", lambda _: wrong)
    with pytest.raises(MismatchError, match=f"minmax, 4 bits: the {what} of {PART:,} coordinates in torch.float32"):
        verify(MINMAX, PLACE, 10**6)
    assert kernels.for_device(torch.device("cpu")) is wrong  # the reference is in use no longer


def test_another_length_than_promised_is_found(monkeypatch):
    case = Case("minmax", "", compressors.make("minmax"))
    promised = case.compressor.payload_bytes(1000)
    monkeypatch.setattr(type(case.compressor), "payload_bytes", lambda *_: promised + 1)
    monkeypatch.setattr(type(case.compressor), "encode", lambda *_: promised)
    with pytest.raises(MismatchError, match=f"wrote {promised} bytes for 1,000 coordinates, not {promised + 1}"):
        verify(case, PLACE, 1000)


def test_a_row():
    row = measure(MINMAX, PLACE, 2048, 3)
    assert row["payload_bytes"] == 2 * (8 + 512)
    assert row["bits"] == 8 * row["payload_bytes"] / 2048
    for action in ("encode", "decode", "accumulate"):
        seconds = row[f"{action}_seconds"]
        assert 0 < seconds["min"] <= seconds["median"] <= seconds["max"]
        ratio, copy = row[f"{action}_ratio"], row["copy_seconds"]
        assert copy["min"] / seconds["max"] <= ratio <= copy["max"] / seconds["min"]


def test_a_configuration_is_written_alike():
    assert configuration(compressors.make("variable", bits=2)) == configuration(compressors.make("variable", bits=2.0))
    assert (
        configuration(compressors.make("uniform", norm="linf"))
        == "uniform:bits=4,bucket_size=1024,rounding=correlated,norm=linf"
    )
