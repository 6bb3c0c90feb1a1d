"""Speed of compressors alone: encoding, decoding and decoding into a sum, relative to a copy of the same numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compressors import Compressor, SummedCompressor, kernels, parameters
from compressors.kernels import reference
from compressors.random import generator
from hvd_qgenx.bench.timing import Times, interleaved
from hvd_qgenx.errors import TrainingError

PART = 2**16
"""Largest number of coordinates compared with the reference, which is slow."""
ACTIONS = ("encode", "decode", "accumulate")
COPY = "copy"
KEY = 0x0123456789ABCDEF


class MismatchError(TrainingError):
    """A result to be timed differs from the reference, so its time would mean nothing."""


@dataclass(frozen=True)
class Case:
    """A compressor, with its name in tables."""

    name: str
    setting: str
    """Its bit width in words; empty if it has none."""
    compressor: Compressor

    @property
    def label(self) -> str:
        return f"{self.name}, {self.setting}" if self.setting else self.name


def configuration(compressor: Compressor) -> str:
    """Returns a canonical text of a compressor and all its parameters."""
    values = {name: getattr(compressor, name) for name in parameters.names(type(compressor))}
    written = [f"{name}={value if isinstance(value, str) else f'{value:g}'}" for name, value in values.items()]
    return f"{compressor.name}:{','.join(written)}"


@dataclass(frozen=True)
class Place:
    """The device and dtype of the vectors, and the number of threads that process them."""

    device: torch.device
    dtype: torch.dtype
    threads: int

    def vector(self, size: int) -> Tensor:
        """Returns normal random numbers, the same at every call; callers must not modify them."""
        return _normal(size).to(self.device, self.dtype)

    def finish(self) -> None:
        """Waits until the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def verify(case: Case, place: Place, size: int) -> None:
    """Compares with ``compressors.kernels.reference`` bit for bit, on at most ``PART`` coordinates.

    Raises:
        MismatchError: the payload, its length, the decoded vector, or the sum that it is added to differs.
    """
    vector = place.vector(min(size, PART))
    made = _roundtrip(case.compressor, vector)
    with _reference_kernels():
        meant = _roundtrip(case.compressor, vector)
    for what, ours, theirs in zip(("payload", "decoded vector", "sum"), made, meant, strict=True):
        if not torch.equal(ours.view(torch.uint8), theirs.view(torch.uint8)):
            where = f"{len(vector):,} coordinates in {place.dtype} on {place.device.type}"
            raise MismatchError(f"{case.label}: the {what} of {where} is not the reference's, bit for bit")


def measure(case: Case, place: Place, size: int, repeats: int) -> dict[str, Any]:
    """Times one compressor on ``size`` coordinates, alternating with copies of as many float32.

    Raises:
        MismatchError: the payload does not have the announced length.
    """
    vector = place.vector(size)
    compressor = case.compressor
    _prepare(compressor, vector)
    payload = _payload(compressor, vector)
    used = _encode(compressor, vector, payload)
    sent = payload[:used]
    target = torch.zeros_like(vector)
    doing: dict[str, Callable[[], Any]] = {
        "encode": lambda: compressor.encode(vector, payload, KEY),
        "decode": lambda: compressor.decode(sent, target),
        "accumulate": lambda: compressor.decode(sent, target, add=True),
    }
    copy = _copy(size, place)
    actions = {name: act for action in ACTIONS for name, act in ((_before(action), copy), (action, doing[action]))}
    times = interleaved(actions, repeats, place.finish)
    copies = Times(tuple(taken for action in ACTIONS for taken in times[_before(action)].rounds))
    return {
        "compressor": case.name,
        "setting": case.setting,
        "configuration": configuration(compressor),
        "device": place.device.type,
        "kernels": kernels.implementation(place.device),
        "dtype": str(place.dtype).removeprefix("torch."),
        "threads": place.threads,
        "size": size,
        "repeats": len(times["encode"].rounds),
        "payload_bytes": used,
        "bits": 8 * used / size,
        f"{COPY}_seconds": copies.as_dict(),
        **{f"{action}_seconds": times[action].as_dict() for action in ACTIONS},
        **{f"{action}_ratio": times[action].ratio(times[_before(action)]) for action in ACTIONS},
    }


def _before(action: str) -> str:
    """Names the copy timed right before an action; each has its own, since a machine's speed varies over time."""
    return f"{COPY} before {action}"


@lru_cache(maxsize=1)
def _normal(size: int) -> Tensor:
    return torch.randn(size, generator=generator(size))


def _copy(size: int, place: Place) -> Callable[[], Any]:
    """Returns a function that copies ``size`` float32 into touched memory: by numpy on the CPU, by torch on a GPU."""
    source = _normal(size).to(place.device)
    target = torch.zeros_like(source)
    if place.device.type == "cpu":
        ours, theirs = source.numpy(), target.numpy()
        return lambda: np.copyto(theirs, ours)
    return lambda: target.copy_(source)


def _roundtrip(compressor: Compressor, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the payload, the decoded vector, and the sum of the vector and the decoded one."""
    _prepare(compressor, vector)
    payload = _payload(compressor, vector)
    sent = payload[: _encode(compressor, vector, payload)]
    decoded, total = torch.empty_like(vector), vector.clone()
    compressor.decode(sent, decoded)
    compressor.decode(sent, total, add=True)
    return sent, decoded, total


def _prepare(compressor: Compressor, vector: Tensor) -> None:
    compressor.lay_out([len(vector)])
    if isinstance(compressor, SummedCompressor) and compressor.integers is not None:
        compressor.integers.fit(vector)


def _payload(compressor: Compressor, vector: Tensor) -> Tensor:
    return vector.new_zeros(compressor.payload_bytes(len(vector), vector.dtype), dtype=torch.uint8)


def _encode(compressor: Compressor, vector: Tensor, payload: Tensor) -> int:
    used = compressor.encode(vector, payload, KEY)
    if used > len(payload) or (compressor.exact_size and used != len(payload)):
        raise MismatchError(f"{compressor!r} wrote {used} bytes for {len(vector):,} coordinates, not {len(payload)}")
    return used


@contextmanager
def _reference_kernels() -> Iterator[None]:
    """Makes compressors use the reference kernels on every device inside the context."""
    chosen = kernels.for_device
    kernels.for_device = lambda device: reference
    try:
        yield
    finally:
        kernels.for_device = chosen
