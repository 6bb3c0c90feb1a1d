"""One vector that is being exchanged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from compressors import SummedCompressor
from compressors.rounds import Averaged
from hvd_qgenx.exchange.codec import Codec, Coder, Keys
from hvd_qgenx.exchange.dealing import IN_PLACE, Deal
from hvd_qgenx.exchange.report import Report

if TYPE_CHECKING:
    from hvd_qgenx.exchange.feedback import Memory


@dataclass(frozen=True)
class ExchangeOptions:
    """Settings of one exchange of one vector."""

    scale: float = 1.0
    """Factor on this rank's vector before it is exchanged."""
    measure_error: bool = False
    """Measure the error of this rank's own compression; costs one more decode."""
    keep_own: bool = False
    """Keep this rank's vector as the other ranks decode it; costs one more decode, shared with ``measure_error``."""


PLAIN = ExchangeOptions()


class Transfer:
    """A flat vector whose mean over ranks an exchange computes, range by range.

    Args:
        vector: 1-D, contiguous, floating-point, of equal length on all ranks; multiplied by the scale of the options.
        codec: encodes and decodes ranges of the vector.
        name: names the collectives; equal on all ranks.
        options: settings of this exchange.
        out: a vector that is to hold the mean; by default it takes the vector's place.
    """

    def __init__(
        self, vector: Tensor, codec: Codec, name: str, options: ExchangeOptions = PLAIN, out: Tensor | None = None
    ) -> None:
        self.vector, self.codec, self.name, self.options = vector, codec, name, options
        self.out = vector if out is None else out
        self.own = torch.empty_like(vector) if options.keep_own else None
        """This rank's vector as decoded from what it sent; complete once all ranges have started."""
        self.report = Report()
        """Cost on this rank; complete once all ranges are exchanged."""
        self.not_finite: list[int] = []
        """Coordinates at which this rank's vector held Inf or NaN."""
        self.finite = True
        """False if the mean holds Inf or NaN; the same on all ranks."""
        self.memory: Memory | None = None
        """Changes what is sent by what was sent before."""
        codec.refresh()
        self._keys = codec.next_keys()

    def prepare(self, start: int, stop: int) -> None:
        """Applies the scale of the options, and the memory, to a range."""
        if self.options.scale != 1:
            self.vector[start:stop].mul_(self.options.scale)
        if self.memory is not None:
            self.memory.before(self.vector[start:stop], start, stop)

    def known_own(self) -> Tensor:
        """Returns this rank's vector as the other ranks know it."""
        assert self.own is not None
        return self.own if self.memory is None else self.memory.known(self.own)

    def remember(self) -> None:
        """Lets the memory complete the mean, once all ranges are exchanged; Inf or NaN leaves no trace in it."""
        if self.memory is not None and self.finite:
            self.memory.after(self.vector, self.own, self.out)

    def write(self, coder: Coder, messages: Tensor) -> None:
        """Writes the payloads of ranges of this rank's vector to their places."""
        began, finite = time.perf_counter(), True
        for batch, index in coder.batches:
            finite &= batch.encode(self.vector, messages, *self._keys[index])
        self.report.encode_seconds += time.perf_counter() - began
        if not finite:
            self.find_not_finite(coder.ranges[0][0], coder.ranges[-1][1])
        if self.own is not None or self.options.measure_error:
            self._compare(coder, messages)

    def rewrite(self, payloads: Coder, mean: Coder, messages: Tensor) -> None:
        """Writes the payload of the mean of the payloads of a range, which are decoded into ``out``."""
        began = time.perf_counter()
        for batch, _ in payloads.batches:
            batch.decode(messages, self.out)
        decoded = time.perf_counter()
        for batch, index in mean.batches:  # rounded independently of the first payload
            batch.encode(self.out, messages, self._keys[index].own ^ 1, None)
        self.report.decode_seconds += decoded - began
        self.report.encode_seconds += time.perf_counter() - decoded

    def read(self, coder: Coder, messages: Tensor) -> None:
        """Puts ranges of the mean into ``out``: what payloads decode to, or their mean where there are several."""
        began = time.perf_counter()
        for batch, _ in coder.batches:
            self.finite &= batch.decode(messages, self.out)
        self.report.decode_seconds += time.perf_counter() - began

    def _compare(self, coder: Coder, messages: Tensor) -> None:
        """Decodes this rank's own payloads, and measures the error, before the mean may replace the ranges."""
        decoded = torch.empty_like(self.vector) if self.own is None else self.own
        for batch, _ in coder.batches:
            batch.decode(messages, decoded)
        for start, stop in coder.ranges if self.options.measure_error else ():
            self._measure_error(decoded[start:stop], self.vector[start:stop])

    def encode(self, bounds: Sequence[int], deal: Deal = IN_PLACE) -> tuple[Tensor, list[int]]:
        """Returns the payloads of this rank's vector between the bounds, end to end, and their numbers of bytes.

        Bounds count coordinates in the order that they are dealt in.
        """
        room = sum(self.codec.payload_bytes(lo, hi) for lo, hi in pairwise(bounds))
        buffer = self.vector.new_empty(room, dtype=torch.uint8)
        sizes: list[int] = []
        for lo, hi in pairwise(bounds):
            payload = buffer[sum(sizes) :]
            with self.report.clock("encode"):
                part = deal.take(self.vector, lo, hi)
                sizes.append(self.codec.encode(part, lo, self._keys, payload))
            self._inspect(payload[: sizes[-1]], part, lo, deal)
        return buffer[: sum(sizes)], sizes

    def encode_summable(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Returns the payload that an all-reduce adds, and the place of the payloads' mean.

        They are the range itself and its place in ``out``, if a range is its own payload.
        """
        part = self.vector[start:stop]
        assert self.codec.alone is not None
        dtype = self.codec.alone.payload_dtype(part.dtype)
        if dtype != part.dtype:
            payload = self.encode([start, stop])[0].view(dtype)
            return payload, payload
        if self.out is self.vector or self.wants_own:  # else the vector is still there if the mean is not finite
            self._inspect(part.view(torch.uint8), part, start, IN_PLACE)
        return part, self.out[start:stop]

    def put_mean(self, mean: Tensor, start: int, stop: int) -> None:
        """Puts the mean of the payloads of ``encode_summable`` into ``out``."""
        before, self.finite = self.finite, True
        self.put_payload(mean.view(torch.uint8), start, stop)
        late = mean.dtype == self.vector.dtype and self.out is not self.vector and not self.wants_own
        if not self.finite and late:
            self.find_not_finite(start, stop)
        self.finite &= before

    def average(self, payloads: Sequence[Tensor], start: int, stop: int) -> Tensor:
        """Returns the mean of decoded payloads of a range, summed in rank order so that all ranks get the same bits.

        It lies in ``out`` if the dtype has room for sums, else it is a new float32 vector.
        """
        with self.report.clock("decode"):
            mean = self.out[start:stop]
            if mean.dtype.itemsize < 4:
                mean = torch.empty_like(mean, dtype=torch.float32)
            for number, payload in enumerate(payloads):
                self.codec.decode(payload, start, mean, add=number > 0)
            return mean.div_(len(payloads))

    def encode_mean(self, mean: Tensor, start: int) -> Tensor:
        """Returns the payload of a range's mean."""
        with self.report.clock("encode"):
            payload = mean.new_empty(self.codec.payload_bytes(start, start + len(mean)), dtype=torch.uint8)
            keys = [Keys(key.own ^ 1, None) for key in self._keys]  # rounded independently of the first payload
            return payload[: self.codec.encode(mean.to(self.vector.dtype), start, keys, payload)]

    def put_payload(self, payload: Tensor, start: int, stop: int, deal: Deal = IN_PLACE) -> None:
        """Puts a range's mean, decoded from a payload, into ``out``."""
        with self.report.clock("decode"):
            moved = deal.moves(start, stop)
            part = deal.borrow(self.out, stop - start) if moved else self.out[start:stop]
            if payload.data_ptr() != part.data_ptr():  # which is not there already
                self.codec.decode(payload, start, part)
            if moved:
                deal.put(part, self.out, start)
            self.finite &= self.codec.is_finite(payload, start, stop)

    def put_average(self, payloads: Sequence[Tensor], start: int, stop: int) -> None:
        """Puts the mean of decoded payloads of a range into ``out``."""
        mean = self.average(payloads, start, stop)
        if mean.dtype != self.out.dtype:
            self.out[start:stop].copy_(mean)
        self.finite &= all(self.codec.is_finite(payload, start, stop) for payload in payloads)

    @property
    def summed(self) -> SummedCompressor:
        """The compressor of the whole vector, whose payloads are added as integers."""
        assert isinstance(self.codec.alone, SummedCompressor)
        return self.codec.alone

    def add_up(self, payloads: Sequence[Tensor], start: int, stop: int) -> Tensor:
        """Returns the exact sum of payloads of a range."""
        with self.report.clock("decode"):
            return self.summed.add_up(payloads, stop - start)

    def put_sum(self, message: Tensor, start: int, stop: int) -> None:
        """Puts a range's mean, decoded from the sum of its payloads, into ``out``."""
        with self.report.clock("decode"):
            self.finite &= self.summed.decode_mean(message, self.out[start:stop], start)

    @property
    def wants_own(self) -> bool:
        """Is this rank's vector, as the others decode it, to be kept or compared?"""
        return self.own is not None or self.options.measure_error

    def put_averaged(self, averaged: Averaged, finite: bool, start: int, stop: int) -> None:
        """Takes the outcome of a range's rounds; NaN if what ranks have averaged was not finite."""
        self.finite &= finite
        part = self.vector[start:stop]
        if averaged.own is not None and self.options.measure_error:
            self._measure_error(averaged.own, part)
        if averaged.own is not None and self.own is not None:
            self.own[start:stop].copy_(averaged.own)
        self.out[start:stop].copy_(averaged.mean) if finite else self.out[start:stop].fill_(torch.nan)

    def find_not_finite(self, start: int, stop: int, deal: Deal = IN_PLACE) -> None:
        """Records the coordinates of a range at which this rank's vector holds Inf or NaN."""
        bad = torch.isfinite(deal.take(self.vector, start, stop)).logical_not()
        if bad.any():
            places = deal.take(torch.arange(len(self.vector), device=bad.device), start, stop)
            self.not_finite += places[bad].tolist()

    def _inspect(self, payload: Tensor, part: Tensor, start: int, deal: Deal) -> None:
        """Looks for Inf and NaN, and measures the error, before the mean may replace the range."""
        stop = start + len(part)
        if not self.codec.is_finite(payload, start, stop):
            self.find_not_finite(start, stop, deal)
        if not self.wants_own:
            return
        moved = deal.moves(start, stop)
        decoded = torch.empty_like(part) if self.own is None or moved else self.own[start:stop]
        self.codec.decode(payload, start, decoded)
        if self.options.measure_error:
            self._measure_error(decoded, part)
        if self.own is not None and moved:
            deal.put(decoded, self.own, start)

    def _measure_error(self, decoded: Tensor, part: Tensor) -> None:
        self.report.squared_error += float((decoded - part).double().square().sum())
        self.report.squared_norm += float(part.double().square().sum())
