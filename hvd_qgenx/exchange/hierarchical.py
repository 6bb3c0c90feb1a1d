"""Uncompressed inside a host, compressed between hosts."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.base import SLICE_BYTES, Exchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.conveyor import Journey
from hvd_qgenx.exchange.flat import for_ranks
from hvd_qgenx.exchange.shipment import Shipment
from hvd_qgenx.transport import Transport, Work


class HostMeans(Shipment):
    """A vector that also travels as the mean of its host."""

    between: Shipment
    """The same vector once it holds the host's mean; its codec, and the report, are shared."""


class Hierarchical(Exchange):
    """Ranks of one host take their mean uncompressed; each then exchanges its share of it with the
    ranks of its number on the other hosts, compressed; and the shares are spread inside the host.

    Over the network a host sends 2 (H - 1) / H payloads for H hosts, whatever the number of its ranks.
    What is quantized is the mean of a host, so there is no vector of a rank ``as the others decode it``.

    Raises:
        ConfigurationError: hosts hold different numbers of ranks, or their ranks cannot form groups.
    """

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        local, across = transport.local(), transport.across()
        if local is None or across is None:
            raise ConfigurationError("hierarchical needs hosts with equal numbers of ranks, and Horovod's process sets")
        self.local, self.inner = local, for_ranks(across.size)(across, slice_bytes)

    def ship(self, vector: Tensor, codec: Codec, name: str, measure: bool = False, own: bool = False) -> HostMeans:
        if own:
            raise ConfigurationError("this optimizer needs every rank's own quantized gradient; hierarchical has none")
        shipment = HostMeans(vector, codec, name)
        shipment.between = self.inner.ship(vector, codec, name, measure)
        shipment.between.report = shipment.report
        return shipment

    def carry(self, shipment: Shipment, start: int, stop: int, name: str) -> Journey:
        assert isinstance(shipment, HostMeans)
        part, local = shipment.vector[start:stop], self.local
        shipment.find_not_finite(start, stop)
        mean = yield _inside(local.all_reduce_mean(_addable(part), f"{name}.host"))
        part.copy_(mean)

        bounds = shipment.codec.cut(start, stop, local.size)
        first, last = bounds[local.rank : local.rank + 2]
        yield from self.inner.carry(shipment.between, first, last, f"{name}.between")

        share = shipment.vector[first:last].view(torch.uint8)
        sizes = [(hi - lo) * part.element_size() for lo, hi in pairwise(bounds)]
        shares = yield _inside(local.all_gather(share, sizes, f"{name}.share"))
        part.view(torch.uint8).copy_(torch.cat(shares))
        shipment.finite &= bool(torch.isfinite(part).all())


def _inside(work: Work[Any]) -> Work[Any]:
    """A collective that does not touch the network."""
    return replace(work, bytes_sent=0)


def _addable(part: Tensor) -> Tensor:
    """Horovod adds no bf16."""
    return part.float() if part.dtype == torch.bfloat16 else part
