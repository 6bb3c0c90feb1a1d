"""Gossip of all ranks in one process, as rows of a matrix."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from contextlib import suppress

import torch
from torch import Tensor

from compressors import Compressor
from compressors.scaled import Scaled, best_factors
from hvd_qgenx.exchange import Codec
from hvd_qgenx.gossip.messages import Messages, is_lost
from hvd_qgenx.gossip.mixings.base import Heard, Letters, Mix, Mixing, Rows
from hvd_qgenx.gossip.topology import Topology


class Simulated:
    """Carries the messages of all ranks of a topology.

    Args:
        topology: of the ranks.
        compressor: of every rank, as ``messages.fitting`` returns it; its seed decides its random numbers.
        dimension: length of a rank's vector, d.
        dtype: of the vectors.
        drop: share of the messages that are lost.
        seed: decides which.
    """

    def __init__(
        self,
        topology: Topology,
        compressor: Compressor,
        dimension: int,
        dtype: torch.dtype = torch.float64,
        drop: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.topology, self.drop, self.seed = topology, drop, seed
        self.rows = Rows(topology, range(topology.size))
        self.bytes_sent = 0
        """Bytes sent by all ranks together."""
        self.count = 0
        """Exchanges so far."""
        self._coder = _coder(compressor, topology.size, dimension, dtype)
        self._matrices: dict[int, Tensor] = {}
        self._dtype = dtype

    def run(self, steps: Mix, step: int, mixing: type[Mixing]) -> None:
        """Carries all messages of a part of a method's step, ``correct`` or ``mix``.

        Args:
            steps: of all rows.
            step: the number of the step, from 0.
            mixing: the method.
        """
        with suppress(StopIteration):
            message = next(steps)
            while True:
                self.count += 1
                if isinstance(message, Letters):
                    message = steps.send(self._deliver(message))
                else:
                    message = steps.send(self._gossip(message, step, mixing.loses_to_own))

    def _gossip(self, vectors: Tensor, step: int, loses_to_own: bool) -> Heard:
        own, sizes = self._coder.pass_through(vectors)
        told = [len(self.topology.links(rank, step).told) for rank in self.rows.ranks]
        self.bytes_sent += sum(size * links for size, links in zip(sizes, told, strict=True))
        idle = [rank for rank, links in enumerate(told) if not links]
        own[idle] = vectors[idle]  # nobody decodes them
        matrix = self._matrix(step)
        if not self.drop:
            return Heard(own, matrix @ own)
        lost = self._lost() * matrix
        mixed = (matrix - lost) @ own
        return Heard(own, mixed + lost.sum(1, keepdim=True) * own if loses_to_own else mixed)

    def _deliver(self, letters: Letters) -> Tensor:
        """Returns what each link hears: what the rank at its other end has written to this one."""
        links = [(rank, other) for rank in self.rows.ranks for other in self.topology.links(rank, 0).told]
        places = {link: place for place, link in enumerate(links)}
        heard = letters.otherwise.clone()
        self.bytes_sent += letters.vectors.nbytes
        for (rank, other), place in places.items():
            if not is_lost(self.drop, self.seed, self.count, other, rank):
                heard[place] = letters.vectors[places[other, rank]]
        return heard

    def _matrix(self, step: int) -> Tensor:
        phase = self.topology.phase(step)
        if self.topology.period is None:
            return torch.from_numpy(self.topology.matrix(step)).to(self._dtype)
        if phase not in self._matrices:
            self._matrices[phase] = torch.from_numpy(self.topology.matrix(step)).to(self._dtype)
        return self._matrices[phase]

    def _lost(self) -> Tensor:
        """Returns 1 where a message is lost and 0 elsewhere, (receivers, senders)."""
        ranks = self.rows.ranks
        lost = [[to != by and is_lost(self.drop, self.seed, self.count, by, to) for by in ranks] for to in ranks]
        return torch.tensor(lost, dtype=self._dtype)


class _Coder(ABC):
    """Compresses and decompresses the rows of a matrix."""

    @abstractmethod
    def pass_through(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        """Returns the rows as they are decoded, and the bytes of each."""


class _Together(_Coder):
    """Compresses all rows at once, as one vector whose buckets end where rows end."""

    def __init__(self, compressor: Compressor, ranks: int, dimension: int, dtype: torch.dtype) -> None:
        self._scaled = isinstance(compressor, Scaled)
        inner = compressor.inner if isinstance(compressor, Scaled) else compressor
        self._messages = Messages(Codec([(inner, ranks * dimension)], dtype))
        self._sizes = [compressor.payload_bytes(dimension, dtype)] * ranks

    def pass_through(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        flat = rows.contiguous().view(-1)
        decoded = self._messages.decode(self._messages.encode(flat), torch.empty_like(flat)).view_as(rows)
        return decoded * best_factors(decoded, rows) if self._scaled else decoded, self._sizes


class _Apart(_Coder):
    """Compresses every row by itself, as the ranks would."""

    def __init__(self, compressor: Compressor, ranks: int, dimension: int, dtype: torch.dtype) -> None:
        each = [compressor.for_rank(rank, ranks=ranks) for rank in range(ranks)]
        self._messages = [Messages(Codec([(compressor, dimension)], dtype)) for compressor in each]

    def pass_through(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        decoded = torch.empty_like(rows)
        payloads = [messages.encode(row) for messages, row in zip(self._messages, rows, strict=True)]
        for messages, payload, row in zip(self._messages, payloads, decoded, strict=True):
            messages.decode(payload, row)
        return decoded, [payload.nbytes for payload in payloads]


def _coder(compressor: Compressor, ranks: int, dimension: int, dtype: torch.dtype) -> _Coder:
    """Returns the faster coder that treats rows as ranks would, but for the random numbers."""
    fitted = _with_buckets_of(compressor, dimension)
    together = fitted.exact_size and dimension % fitted.alignment == 0
    return (_Together if together else _Apart)(fitted, ranks, dimension, dtype)


def _with_buckets_of(compressor: Compressor, dimension: int) -> Compressor:
    """Returns the compressor with buckets of one vector where a vector fits into a bucket, if it can have such."""
    if isinstance(compressor, Scaled):
        return Scaled(_with_buckets_of(compressor.inner, dimension))
    if getattr(compressor, "bucket_size", 0) <= dimension:
        return compressor
    with suppress(ValueError):
        replaced: Compressor = dataclasses.replace(compressor, **{"bucket_size": dimension})
        return replaced.for_rank(0, seed=compressor.stream.seed)
    return compressor
