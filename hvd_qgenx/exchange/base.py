"""What an exchange is."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar

from torch import Tensor

from compressors import Compressor
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.conveyor import Conveyor, Journey
from hvd_qgenx.exchange.shipment import Shipment
from hvd_qgenx.transport import Transport

SLICE_BYTES = 3 << 18
"""Payload of a slice, unless told otherwise; see docs/performance.md for the measurements."""
MOST_SLICES = 16
IN_FLIGHT = 2
"""Collectives under way at most: while one is waited for, or its payload coded, the other keeps the wire busy."""


class Exchange(ABC):
    """Replaces flat vectors by their means over ranks, through compressors.

    All ranks get the same bits. A vector travels in slices, a few at a time, so that coding and
    wire overlap; where it is cut depends on its length and compressors alone.

    Args:
        transport: who carries.
        slice_bytes: payload of a slice, nearly; a vector has at most ``MOST_SLICES``.

    Raises:
        ConfigurationError: such slices cannot be.
    """

    adds_payloads: ClassVar[bool] = False
    """Are payloads added before they are decoded?"""

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        if slice_bytes < 1:
            raise ConfigurationError(f"a slice must have at least 1 byte, not {slice_bytes}")
        self.transport, self.slice_bytes = transport, slice_bytes

    @classmethod
    def check(cls, compressor: Compressor) -> None:
        """Raises ConfigurationError unless this exchange can carry the compressor's payloads."""
        if cls.adds_payloads and not compressor.summable:
            raise ConfigurationError(f"payloads of {compressor.name} cannot be added; use allgather or two-phase")

    def ship(self, vector: Tensor, codec: Codec, name: str, measure: bool = False, own: bool = False) -> Shipment:
        """Takes a vector over, to be replaced by its mean; ``carry`` then takes its slices there."""
        for segment in codec.segments:
            self.check(segment.compressor)
        return Shipment(vector, codec, name, measure, own)

    def slices(self, codec: Codec) -> list[int]:
        """Bounds of the ranges that travel by themselves."""
        return self.cut(codec, self.slice_bytes)

    @staticmethod
    def cut(codec: Codec, slice_bytes: int) -> list[int]:
        """Bounds of ranges of nearly so many bytes of payload; ``MOST_SLICES`` at most."""
        wanted = -(-codec.payload_bytes(0, codec.numel) // slice_bytes)
        return codec.cut(0, codec.numel, min(max(wanted, 1), MOST_SLICES))

    @abstractmethod
    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        """The journey of the coordinates from ``start`` to ``stop``; ``name`` names its collectives."""

    def mean_(self, shipment: Shipment) -> Tensor:
        """Replaces the whole vector by its mean, at once; returns it."""
        conveyor = Conveyor(IN_FLIGHT)
        for index, (start, stop) in enumerate(pairwise(self.slices(shipment.codec))):
            conveyor.put(self.carry(shipment, start, stop, f"{shipment.name}.{index}"), shipment.report)
        conveyor.drain()
        return shipment.vector

    def mean(self, vector: Tensor, compressor: Compressor, name: str) -> Tensor:
        """The mean over ranks of a flat vector, a new one."""
        codec = Codec([(compressor, len(vector))], vector.dtype)
        return self.mean_(self.ship(vector.clone(), codec, name))


class PayloadExchange(Exchange):
    """An exchange whose payloads are decoded before they are averaged."""

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        self.carrier = transport.ordered(transport.unique("exchange"))
        """Carries payloads; used in one order on all ranks, so an exchange serves one optimizer."""
