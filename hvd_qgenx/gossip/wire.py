"""Gossip of one rank with its neighbours."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hvd_qgenx.errors import LocalDivergenceError
from hvd_qgenx.exchange import Report
from hvd_qgenx.gossip.messages import Messages, is_lost
from hvd_qgenx.gossip.mixings.base import Heard, Letters
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.base import LENGTH_BYTES


class NotFiniteMessageError(LocalDivergenceError):
    """A message held Inf or NaN."""


class Wire:
    """Carries the messages of one vector between this rank and its neighbours.

    Args:
        transport: of the ranks, for calls from one thread in the same order on all (``Transport.ordered``).
        topology: of the ranks.
        messages: of this rank.
        name: names the exchanges; equal on all ranks.
        loses_to_own: ``Mixing.loses_to_own``.
        drop: share of the messages that are lost, in experiments.
        seed: decides which.
    """

    def __init__(
        self,
        transport: Transport,
        topology: Topology,
        messages: Messages,
        name: str,
        loses_to_own: bool = False,
        drop: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.transport, self.topology, self.messages = transport, topology, messages
        self.name, self.loses_to_own, self.drop, self.seed = name, loses_to_own, drop, seed
        self.report = Report()
        """Bytes and seconds of all exchanges so far."""
        self.bytes_to: Counter[int] = Counter()
        """Bytes sent to every neighbour so far."""
        self.measure_error = False
        """Measure the compressor's error at every exchange."""
        self.count = 0
        """Exchanges so far."""
        self.sent: dict[int, int] = {}
        """Checksums of all that was sent to each neighbour."""
        self.received: dict[int, int] = {}
        """Checksums of all that was heard from each neighbour."""
        self._scratch: Tensor | None = None

    def exchange(self, message: Tensor | Letters, step: int) -> Heard | Tensor:
        """Sends what a mixing yields, and returns what it is to be sent; waits for the neighbours alone.

        Raises:
            NotFiniteMessageError: what was sent or heard holds Inf or NaN.
        """
        self.count += 1
        return self._deliver(message) if isinstance(message, Letters) else self._gossip(message[0], step)

    def _gossip(self, vector: Tensor, step: int) -> Heard:
        rank = self.transport.rank
        links, size = self.topology.links(rank, step), self.messages.payload_bytes
        sizes = None if size is None else [size] * len(links.heard)
        if not links.told and not links.heard:
            self._send({}, [], sizes, vector)  # exchanges stay in step on all ranks
            alone = vector[None].clone()  # nobody decodes it
            return Heard(alone, alone)
        with self.report.clock("encode"):
            payload = self.messages.encode(vector)
        arriving = self._send(dict.fromkeys(links.told, payload), list(links.heard), sizes, vector)
        with self.report.clock("decode"):
            self._require_finite(payload, rank)
            own = self.messages.decode(payload, torch.empty_like(vector))
            mixed = own * links.own
            if self.measure_error:
                self.report.squared_error += float((own - vector).double().square().sum())
                self.report.squared_norm += float(vector.double().square().sum())
        received = arriving()
        with self.report.clock("decode"):
            for sender, weight in links.heard.items():
                if is_lost(self.drop, self.seed, self.count, sender, rank):
                    if self.loses_to_own:
                        mixed.add_(own, alpha=weight)
                    continue
                self._require_finite(received[sender], sender)
                mixed.add_(self.messages.decode(received[sender], self._room(vector)), alpha=weight)
        return Heard(own[None], mixed[None])

    def _deliver(self, letters: Letters) -> Tensor:
        links, rank = self.topology.links(self.transport.rank, 0), self.transport.rank
        payloads = {told: part.view(torch.uint8) for told, part in zip(links.told, letters.vectors, strict=True)}
        sizes = [payloads[sender].nbytes for sender in links.heard]
        received = self._send(payloads, list(links.heard), sizes, letters.vectors)()
        heard = letters.otherwise.clone()
        for place, sender in enumerate(links.heard):
            if not is_lost(self.drop, self.seed, self.count, sender, rank):
                heard[place] = received[sender].view(heard.dtype)
                if not bool(heard[place].isfinite().all()):
                    raise NotFiniteMessageError(f"rank {sender} sent Inf or NaN to rank {rank}")
        return heard

    def mix_exactly(self, vector: Tensor, phase: int) -> Tensor:
        """Returns the sum of w_ij x_j in a phase, with all vectors sent as they are."""
        links = self.topology.links(self.transport.rank, phase)
        data = vector.view(torch.uint8)
        sizes = [data.nbytes] * len(links.heard)
        received = self._send(dict.fromkeys(links.told, data), list(links.heard), sizes, vector)()
        mixed = vector * links.own
        for sender, weight in links.heard.items():
            mixed.add_(received[sender].view(vector.dtype), alpha=weight)
        return mixed

    def _send(
        self, payloads: dict[int, Tensor], heard: list[int], sizes: list[int] | None, vector: Tensor
    ) -> Callable[[], dict[int, Tensor]]:
        """Sends payloads, of a vector on this device, to neighbours; returns a function that waits for theirs."""
        like = vector.new_empty(0, dtype=torch.uint8)
        work = self.transport.neighbour_exchange(payloads, heard, sizes, self.name, like)
        for neighbour, payload in payloads.items():
            self.bytes_to[neighbour] += payload.nbytes + (LENGTH_BYTES if sizes is None else 0)
            self.sent[neighbour] = _checksum(payload, self.sent.get(neighbour, 0))

        def wait() -> dict[int, Tensor]:
            received = self.report.wait(work)
            for neighbour, payload in received.items():
                self.received[neighbour] = _checksum(payload, self.received.get(neighbour, 0))
            return received

        return wait

    def _require_finite(self, payload: Tensor, sender: int) -> None:
        if not self.messages.is_finite(payload):
            raise NotFiniteMessageError(f"rank {sender} sent Inf or NaN to its neighbours")

    def _room(self, vector: Tensor) -> Tensor:
        if self._scratch is None:
            self._scratch = torch.empty_like(vector)
        return self._scratch

    @property
    def ends(self) -> tuple[dict[int, int], dict[int, int]]:
        """This rank's ends of all links: copies of ``sent`` and ``received``."""
        return dict(self.sent), dict(self.received)

    def state_dict(self) -> dict[str, Any]:
        links = {name: dict(getattr(self, name)) for name in ("sent", "received", "bytes_to")}
        return {"count": self.count, **links}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count, self.sent, self.received = state["count"], dict(state["sent"]), dict(state["received"])
        self.bytes_to = Counter(state["bytes_to"])


def disagreements(everyone: list[tuple[dict[int, int], dict[int, int]]]) -> list[tuple[int, int]]:
    """Returns the links, sender and receiver, whose two ends have not the same checksum.

    Args:
        everyone: ``sent`` and ``received`` of every rank.
    """
    links = {(sender, receiver) for sender, (sent, _) in enumerate(everyone) for receiver in sent}
    return sorted(link for link in links if everyone[link[0]][0][link[1]] != everyone[link[1]][1].get(link[0]))


def _checksum(payload: Tensor, before: int) -> int:
    data: Any = payload.cpu().numpy()
    return zlib.crc32(data, before)
