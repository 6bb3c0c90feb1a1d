"""What an exchange is."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from compressors import Compressor, Context
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport, Work

T = TypeVar("T")


@dataclass
class Report:
    """What this rank spent on one exchange, or on several added up."""

    bytes_sent: int = 0
    """Bytes sent over the network, from the sizes of the payloads sent."""
    encode_seconds: float = 0.0
    wire_seconds: float = 0.0
    """From handing over to having: includes waiting for slower ranks."""
    decode_seconds: float = 0.0
    squared_error: float = 0.0
    """||Q(x) - x||^2 of this rank's first compression, where measured."""
    squared_norm: float = 0.0
    """||x||^2, where the error was measured."""

    def add(self, other: "Report") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def since(self, earlier: "Report") -> "Report":
        """What was spent after ``earlier``, a copy of this report as it was then."""
        return Report(*(getattr(self, field.name) - getattr(earlier, field.name) for field in fields(self)))

    @property
    def relative_error(self) -> float:
        """||Q(x) - x||^2 / ||x||^2; 0 where nothing was measured."""
        return self.squared_error / self.squared_norm if self.squared_norm else 0.0

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Adds the seconds spent inside to ``encode``, ``wire`` or ``decode``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            name = f"{phase}_seconds"
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)

    def wait(self, work: Work[T]) -> T:
        """Waits for a collective, on the wire's clock, and counts its bytes."""
        self.bytes_sent += work.bytes_sent
        with self.clock("wire"):
            return work.wait()


@dataclass(frozen=True)
class Pending:
    """An exchange under way."""

    wait: Callable[[], Tensor]
    """Blocks until it is done and returns the mean; to be called once, in the same order on all ranks."""
    report: Report
    """Complete once ``wait`` has returned."""
    own: Tensor | None = None
    """This rank's vector as decoded from what it sent, if asked for; here at once."""


class Exchange(ABC):
    """Computes the mean over ranks of flat vectors, through a compressor.

    All ranks get the same bits. The compressor holds this rank's random stream and state.
    """

    adds_payloads: ClassVar[bool] = False
    """Are payloads added before they are decoded?"""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    @classmethod
    def check(cls, compressor: Compressor) -> None:
        """Raises ConfigurationError unless this exchange can carry the compressor's payloads."""
        if cls.adds_payloads and not compressor.summable:
            raise ConfigurationError(f"payloads of {compressor.name} cannot be added; use allgather or two-phase")

    @abstractmethod
    def start(
        self, vector: Tensor, compressor: Compressor, name: str, measure: bool = False, own: bool = False
    ) -> Pending:
        """Encodes ``vector`` (1-D float, of equal length on all ranks) and sets it on its way.

        Args:
            name: names the collectives; equal on all ranks.
            measure: also find the error of this rank's own compression.
            own: also keep this rank's vector as the others decode it. Either costs one more decode.
        """

    def mean(self, vector: Tensor, compressor: Compressor, name: str) -> Tensor:
        """The mean, at once."""
        return self.start(vector, compressor, name).wait()


class Encoder:
    """Encodes one vector of this rank, in parts; with ``decodes`` it also decodes what it made."""

    def __init__(self, compressor: Compressor, report: Report, measure: bool = False, own: bool = False) -> None:
        self.compressor, self.report, self.measure = compressor, report, measure
        self.decodes = measure or own
        self._own: list[Tensor] = []

    def __call__(self, part: Tensor, start: int = 0) -> Tensor:
        """The payload, as it goes on the wire, of the coordinates from ``start`` on."""
        with self.report.clock("encode"):
            payload, context = self.compressor.compress_part(part, start)
        if self.decodes:
            self._own.append(self.compressor.decompress(payload, context))
        if self.measure:
            error = self._own[-1] - part
            self.report.squared_error += float(error.double().square().sum())
            self.report.squared_norm += float(part.double().square().sum())
        return payload

    @property
    def own(self) -> Tensor | None:
        """All parts as decoded, end to end."""
        return torch.cat(self._own) if self.decodes else None


def decode_mean(compressor: Compressor, payloads: list[Tensor], context: Context) -> Tensor:
    """The mean of decoded payloads, summed in rank order so that every rank gets the same bits."""
    total = compressor.decompress(payloads[0], context)
    for payload in payloads[1:]:
        total += compressor.decompress(payload, context)
    return total.div_(len(payloads))


def as_bytes(payload: Tensor) -> Tensor:
    return payload.view(torch.uint8)
