"""Bytes, seconds and errors of exchanges."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TypeVar

from hvd_qgenx.transport import Work

T = TypeVar("T")


@dataclass
class Report:
    """Cost of one exchange on this rank, or of several added up."""

    bytes_sent: int = 0
    """Bytes sent over the network, from the sizes of the payloads sent."""
    encode_seconds: float = 0.0
    wire_seconds: float = 0.0
    """Waiting for collectives, and in them for slower ranks."""
    decode_seconds: float = 0.0
    exposed_seconds: float = 0.0
    """Seconds that training waited for exchanges: the seconds above, less those that overlapped with training."""
    squared_error: float = 0.0
    """||Q(x) - x||^2 of this rank's first compression, where measured."""
    squared_norm: float = 0.0
    """||x||^2, where the error was measured."""

    def add(self, other: "Report") -> None:
        """Adds the cost of other exchanges, in place."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def since(self, earlier: "Report") -> "Report":
        """Returns the cost since ``earlier``, a copy of this report as it was then."""
        return Report(*(getattr(self, field.name) - getattr(earlier, field.name) for field in fields(self)))

    @property
    def relative_error(self) -> float:
        """||Q(x) - x||^2 / ||x||^2; 0 where nothing was measured."""
        return self.squared_error / self.squared_norm if self.squared_norm else 0.0

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Adds the seconds spent inside to ``encode``, ``wire``, ``decode`` or ``exposed``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            name = f"{phase}_seconds"
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)

    def wait(self, work: Work[T]) -> T:
        """Waits for a collective and returns its result; counts its bytes and seconds."""
        self.bytes_sent += work.bytes_sent
        began = time.perf_counter()
        try:
            return work.wait()
        finally:
            self.wire_seconds += time.perf_counter() - began
