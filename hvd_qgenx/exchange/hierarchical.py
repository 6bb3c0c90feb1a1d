"""Uncompressed inside a host, compressed between hosts."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.base import ConcreteExchange
from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.cost import (
    FLOAT_BYTES,
    CodecSpeed,
    Machine,
    Ranks,
    SliceCost,
    all_gather,
    all_reduce,
    all_to_all,
)
from hvd_qgenx.exchange.pipeline import Steps
from hvd_qgenx.exchange.single_level import single_level
from hvd_qgenx.exchange.slices import SLICE_BYTES
from hvd_qgenx.exchange.transfer import PLAIN, ExchangeOptions, Transfer
from hvd_qgenx.exchange.twophase import TwoPhase
from hvd_qgenx.transport import Transport, Work


class HostTransfer(Transfer):
    """A vector whose mean over its host is computed first."""

    between: Transfer
    """The exchange of that mean between hosts, in ``out``; of the same codec and report."""


class Hierarchical(ConcreteExchange):
    """Ranks of one host take their mean uncompressed; each then exchanges its share of it with the
    ranks of its number on the other hosts, compressed; and the shares are gathered inside the host.

    Over the network a host sends 2 (H - 1) / H payloads for H hosts, whatever the number of its ranks.
    What is quantized is the mean of a host, so there is no vector of a rank as the others decode it.

    Raises:
        ConfigurationError: hosts hold different numbers of ranks, or their ranks cannot form groups.
    """

    needs_hosts = True
    compresses_once = False

    def __init__(self, transport: Transport, slice_bytes: int = SLICE_BYTES) -> None:
        super().__init__(transport, slice_bytes)
        self.local, across = two_levels(transport, "hierarchical")
        self.inner = single_level(across.size)(across, slice_bytes)

    def begin(
        self, vector: Tensor, codec: Codec, name: str, options: ExchangeOptions = PLAIN, out: Tensor | None = None
    ) -> HostTransfer:
        if options.keep_own:
            raise ConfigurationError("this optimizer needs every rank's own quantized gradient; hierarchical has none")
        transfer = HostTransfer(vector, codec, name, options, out)
        transfer.between = self.inner.begin(transfer.out, codec, name, replace(options, scale=1.0))
        transfer.between.report = transfer.report
        return transfer

    def reduce(self, transfer: Transfer, start: int, stop: int, name: str) -> Steps:
        assert isinstance(transfer, HostTransfer)
        own, part, local = transfer.vector[start:stop], transfer.out[start:stop], self.local
        transfer.find_not_finite(start, stop)
        if own.dtype == torch.bfloat16:  # which Horovod cannot add
            mean = yield inside_host(local.all_reduce_mean(own.float(), f"{name}.host"))
            part.copy_(mean)
        else:
            yield inside_host(local.all_reduce_mean(own, f"{name}.host", part))

        bounds = transfer.codec.cut(start, stop, local.size)
        first, last = bounds[local.rank : local.rank + 2]
        yield from self.inner.reduce(transfer.between, first, last, f"{name}.between")

        share = transfer.out[first:last].view(torch.uint8)
        sizes = [(hi - lo) * part.element_size() for lo, hi in pairwise(bounds)]
        shares = yield inside_host(local.all_gather(share, sizes, f"{name}.share"))
        part.view(torch.uint8).copy_(torch.cat(shares))
        transfer.finite &= bool(torch.isfinite(part).all())

    @classmethod
    def slice_cost(cls, machine: Machine, ranks: Ranks, numel: float, codec: CodecSpeed) -> SliceCost:
        """Every rank exchanges its share of the host's mean in two phases, whatever the number of hosts.

        two-phase of H ranks   within each host, all-reduce of 4 d and all-gather of 4 d / L;
        with d / L             between hosts, all-to-all of P/H, all-gather of P/H
        """
        if ranks.per_host == 1:
            return TwoPhase.slice_cost(machine, ranks, numel, codec)
        hosts, inside = Ranks(ranks.hosts), Ranks(1, ranks.per_host)
        own = numel / ranks.per_host
        work = codec.encode_seconds(own * (1 + 1 / ranks.hosts)) + codec.decode_seconds(2 * own)
        host_bytes, chunk = FLOAT_BYTES * numel, codec.payload_bytes(numel) / ranks.hosts
        wire = (
            all_reduce(machine, inside, host_bytes)
            + all_to_all(machine, hosts, chunk)
            + all_gather(machine, hosts, chunk)
            + all_gather(machine, inside, host_bytes / ranks.per_host)
        )
        return SliceCost(work, wire, 4 * machine.negotiation)


def two_levels(transport: Transport, name: str) -> tuple[Transport, Transport]:
    """Returns the ranks of this host, and those with this rank's number on all hosts, for the exchange of this name.

    Raises:
        ConfigurationError: there are no such groups.
    """
    local, across = transport.local(), transport.across()
    if local is None or across is None:
        raise ConfigurationError(f"{name} needs hosts with equal numbers of ranks, and Horovod's process sets")
    return local, across


def inside_host(work: Work[Any]) -> Work[Any]:
    """Returns a collective within the host, which does not use the network."""
    return replace(work, bytes_sent=0)
