"""Compressors alone: how fast they encode, decode and decode into a sum, next to copying the same numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compressors import Compressor, kernels, parameters
from compressors.kernels import reference
from compressors.random import generator
from hvd_qgenx.bench.timing import Times, interleaved
from hvd_qgenx.errors import TrainingError

PART = 2**16
"""Coordinates at most that are compared with the reference, which is slow."""
ACTIONS = ("encode", "decode", "accumulate")
COPY = "copy"
KEY = 0x0123456789ABCDEF


class MismatchError(TrainingError):
    """A result that was to be timed is not what the reference says, so its time means nothing."""


@dataclass(frozen=True)
class Case:
    """A compressor, as it is called in tables."""

    name: str
    setting: str
    """Its width in words; empty where it has none."""
    compressor: Compressor

    @property
    def label(self) -> str:
        return f"{self.name}, {self.setting}" if self.setting else self.name


def configuration(compressor: Compressor) -> str:
    """A compressor with all its parameters, written alike however they were given."""
    values = {name: getattr(compressor, name) for name in parameters.names(type(compressor))}
    written = [f"{name}={value if isinstance(value, str) else f'{value:g}'}" for name, value in values.items()]
    return f"{compressor.name}:{','.join(written)}"


@dataclass(frozen=True)
class Place:
    """Where vectors lie and how many threads work on them."""

    device: torch.device
    dtype: torch.dtype
    threads: int

    def vector(self, size: int) -> Tensor:
        """Normal numbers, the same every time; not to be changed."""
        return _normal(size).to(self.device, self.dtype)

    def finish(self) -> None:
        """Waits for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def verify(case: Case, place: Place, size: int) -> None:
    """Compares with ``compressors.kernels.reference`` bit for bit, on at most ``PART`` coordinates.

    Raises:
        MismatchError: payload, its length, what it decodes to, or what it adds to a sum is another.
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
    """Times one compressor on ``size`` coordinates, in turn with copies of as many float32.

    Raises:
        MismatchError: the payload has another length than was promised.
    """
    vector = place.vector(size)
    compressor = case.compressor
    compressor.lay_out([size])
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
    """Every action has a copy of its own before it, as a machine's speed may change from one moment to the next."""
    return f"{COPY} before {action}"


@lru_cache(maxsize=1)
def _normal(size: int) -> Tensor:
    return torch.randn(size, generator=generator(size))


def _copy(size: int, place: Place) -> Callable[[], Any]:
    """Copies so many float32 into memory in use: numpy's copy on the CPU, the device's on a GPU."""
    source = _normal(size).to(place.device)
    target = torch.zeros_like(source)
    if place.device.type == "cpu":
        ours, theirs = source.numpy(), target.numpy()
        return lambda: np.copyto(theirs, ours)
    return lambda: target.copy_(source)


def _roundtrip(compressor: Compressor, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Payload, decoded vector, and the vector with the decoded one added."""
    compressor.lay_out([len(vector)])
    payload = _payload(compressor, vector)
    sent = payload[: _encode(compressor, vector, payload)]
    decoded, total = torch.empty_like(vector), vector.clone()
    compressor.decode(sent, decoded)
    compressor.decode(sent, total, add=True)
    return sent, decoded, total


def _payload(compressor: Compressor, vector: Tensor) -> Tensor:
    return vector.new_zeros(compressor.payload_bytes(len(vector), vector.dtype), dtype=torch.uint8)


def _encode(compressor: Compressor, vector: Tensor, payload: Tensor) -> int:
    used = compressor.encode(vector, payload, KEY)
    if used > len(payload) or (compressor.exact_size and used != len(payload)):
        raise MismatchError(f"{compressor!r} wrote {used} bytes for {len(vector):,} coordinates, not {len(payload)}")
    return used


@contextmanager
def _reference_kernels() -> Iterator[None]:
    """Inside, compressors use the reference on every device."""
    chosen = kernels.for_device
    kernels.for_device = lambda device: reference
    try:
        yield
    finally:
        kernels.for_device = chosen
