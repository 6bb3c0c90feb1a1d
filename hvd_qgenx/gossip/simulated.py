"""Gossip of all ranks in one process, as rows of a matrix."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from compressors import Compressor
from compressors.scaled import Scaled, best_factors
from hvd_qgenx.exchange import Codec
from hvd_qgenx.gossip.messages import Messages, is_lost
from hvd_qgenx.gossip.mixings.base import Heard, Letters, Mixing, Rows
from hvd_qgenx.gossip.topology import Matrix, Topology


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
        self.messages_sent = 0
        """Messages sent by all ranks together."""
        self.count = 0
        """Exchanges so far."""
        self._coder = _coder(compressor, topology.size, dimension, dtype)
        self._rounds: dict[int, _Round] = {}
        self._dtype = dtype

    def exchange(self, message: Tensor | Letters, step: int, mixing: type[Mixing]) -> Heard | Tensor:
        """Returns the answer to a message of all rows.

        Args:
            message: of a mixing.
            step: the number of the step, from 0.
            mixing: the method.
        """
        self.count += 1
        return self._deliver(message) if isinstance(message, Letters) else self._gossip(message, step, mixing)

    def _gossip(self, vectors: Tensor, step: int, mixing: type[Mixing]) -> Heard:
        own, sizes = self._coder.pass_through(vectors)
        matrix, told, idle = self._round(step)
        self.messages_sent += sum(told)
        self.bytes_sent += sum(size * links for size, links in zip(sizes, told, strict=True))
        if idle:
            own[idle] = vectors[idle]  # nobody decodes them
        if not self.drop:
            return Heard(own, matrix @ own)
        lost = self._lost() * matrix
        mixed = (matrix - lost) @ own
        return Heard(own, mixed + lost.sum(1, keepdim=True) * own if mixing.loses_to_own else mixed)

    def _deliver(self, letters: Letters) -> Tensor:
        """Returns what each link hears: what the rank at its other end has written to this one."""
        links = [(rank, other) for rank in self.rows.ranks for other in self.topology.links(rank, 0).told]
        places = {link: place for place, link in enumerate(links)}
        heard = letters.otherwise.clone()
        self.messages_sent += len(links)
        self.bytes_sent += letters.vectors.nbytes
        for (rank, other), place in places.items():
            if not is_lost(self.drop, self.seed, self.count, other, rank):
                heard[place] = letters.vectors[places[other, rank]]
        return heard

    def _round(self, step: int) -> _Round:
        phase = self.topology.phase(step)
        if phase not in self._rounds:
            if self.topology.period is None:
                self._rounds.clear()
            self._rounds[phase] = _Round.of(self.topology.matrix(step), self._dtype)
        return self._rounds[phase]

    def _lost(self) -> Tensor:
        """Returns 1 where a message is lost and 0 elsewhere, (receivers, senders)."""
        ranks = self.rows.ranks
        lost = [[to != by and is_lost(self.drop, self.seed, self.count, by, to) for by in ranks] for to in ranks]
        return torch.tensor(lost, dtype=self._dtype)


class _Round(NamedTuple):
    """The mixing and the messages of one step of the topology."""

    matrix: Tensor
    told: list[int]
    """Number of ranks that hear from each rank."""
    idle: list[int]
    """Ranks that nobody hears from."""

    @classmethod
    def of(cls, matrix: Matrix, dtype: torch.dtype) -> _Round:
        told = [int(count) for count in np.count_nonzero(matrix, axis=0) - (matrix.diagonal() != 0)]
        return cls(torch.from_numpy(matrix).to(dtype), told, [rank for rank, links in enumerate(told) if not links])


class _Coder(ABC):
    """Compresses and decompresses the rows of a matrix."""

    @abstractmethod
    def pass_through(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        """Returns the rows as they are decoded, and the bytes of each."""


class _Together(_Coder):
    """Compresses all rows at once, as vectors whose buckets end where rows end.

    Args:
        compressor: of every rank.
        parts: numbers of columns and compressors of them; those of a part fill whole buckets.
        ranks: number of rows.
        dtype: of the rows.
    """

    def __init__(
        self, compressor: Compressor, parts: Sequence[tuple[int, Compressor]], ranks: int, dtype: torch.dtype
    ) -> None:
        self._scaled = isinstance(compressor, Scaled)
        self._widths = [width for width, _ in parts]
        self._messages = [Messages(Codec([(inner, ranks * width)], dtype)) for width, inner in parts]
        self._sizes = [compressor.payload_bytes(sum(self._widths), dtype)] * ranks

    def pass_through(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        columns = [rows] if len(self._widths) == 1 else rows.split(self._widths, dim=1)
        parts = [_passed(messages, part) for messages, part in zip(self._messages, columns, strict=True)]
        decoded = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return decoded.mul_(best_factors(decoded, rows)) if self._scaled else decoded, self._sizes


def _passed(messages: Messages, rows: Tensor) -> Tensor:
    flat = rows.contiguous().view(-1)
    return messages.decode(messages.encode(flat), torch.empty_like(flat)).view_as(rows)


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
    inner = compressor.inner if isinstance(compressor, Scaled) else compressor
    if inner.exact_size:
        with suppress(ValueError):  # buckets of such a size are impossible
            return _Together(compressor, _parts(inner, dimension), ranks, dtype)
    return _Apart(compressor, ranks, dimension, dtype)


def _parts(compressor: Compressor, dimension: int) -> list[tuple[int, Compressor]]:
    """Returns the columns of a row that fill whole buckets, with the compressor, and those of its last, shorter bucket.

    Raises:
        ValueError: the compressor cannot have buckets of that length.
    """
    if dimension % compressor.alignment == 0:
        return [(dimension, compressor)]
    size = getattr(compressor, "bucket_size", 0)
    if size != compressor.alignment:
        raise ValueError(f"{compressor.name} has no buckets of {dimension} coordinates")
    tail = dimension % size
    shorter: dict[str, Any] = {"bucket_size": tail}
    changed = dataclasses.replace(compressor, **shorter).for_rank(1, seed=compressor.stream.seed)
    if changed.alignment != tail:
        raise ValueError(f"{compressor.name} has no buckets of {tail} coordinates")
    return [(dimension - tail, compressor), (tail, changed)] if dimension > tail else [(tail, changed)]
