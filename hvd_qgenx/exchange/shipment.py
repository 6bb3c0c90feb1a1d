"""One vector on its way to the mean."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from hvd_qgenx.exchange.codec import Codec
from hvd_qgenx.exchange.report import Report


class Shipment:
    """A flat vector that an exchange replaces by its mean over ranks, range by range.

    Args:
        vector: 1-D, contiguous, floating-point, of equal length on all ranks.
        codec: that of the vector.
        name: names the collectives; equal on all ranks.
        measure: also find the error of this rank's own compression.
        own: also keep this rank's vector as the others decode it. Either costs one more decode.
    """

    def __init__(self, vector: Tensor, codec: Codec, name: str, measure: bool = False, own: bool = False) -> None:
        self.vector, self.codec, self.name, self.measure = vector, codec, name, measure
        self.own = torch.empty_like(vector) if own else None
        """This rank's vector as decoded from what it sent; complete once all ranges are under way."""
        self.report = Report()
        """Complete once all ranges have arrived."""
        self.not_finite: list[int] = []
        """Places where this rank's vector held Inf or NaN."""
        self.finite = True
        """Whether the mean is finite; the same on all ranks."""
        self._keys = codec.next_keys()

    def encode(self, bounds: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Payloads of this rank's vector between the bounds, end to end, and their numbers of bytes."""
        room = sum(self.codec.payload_bytes(lo, hi) for lo, hi in pairwise(bounds))
        buffer = self.vector.new_empty(room, dtype=torch.uint8)
        sizes: list[int] = []
        for lo, hi in pairwise(bounds):
            payload = buffer[sum(sizes) :]
            with self.report.clock("encode"):
                sizes.append(self.codec.encode(self.vector[lo:hi], lo, self._keys, payload))
            self._inspect(payload[: sizes[-1]], lo, hi)
        return buffer[: sum(sizes)], sizes

    def encode_summable(self, start: int, stop: int) -> Tensor:
        """What an all-reduce adds: the range itself, where that is its own payload."""
        part = self.vector[start:stop]
        assert self.codec.alone is not None
        dtype = self.codec.alone.payload_dtype(part.dtype)
        if dtype != part.dtype:
            return self.encode([start, stop])[0].view(dtype)
        self._inspect(part.view(torch.uint8), start, stop)
        return part

    def average(self, payloads: Sequence[Tensor], start: int, stop: int) -> Tensor:
        """The mean of decoded payloads of a range, summed in rank order so that every rank gets the same bits.

        In the place of the range if its dtype has room for sums, else a new float32 vector.
        """
        with self.report.clock("decode"):
            mean = self.vector[start:stop]
            if mean.dtype.itemsize < 4:
                mean = mean.float()
            for number, payload in enumerate(payloads):
                self.codec.decode(payload, start, mean, add=number > 0)
            return mean.div_(len(payloads))

    def encode_mean(self, mean: Tensor, start: int) -> Tensor:
        """The payload of a range's mean."""
        with self.report.clock("encode"):
            payload = mean.new_empty(self.codec.payload_bytes(start, start + len(mean)), dtype=torch.uint8)
            keys = [key ^ 1 for key in self._keys]  # other rounding than on the way out
            return payload[: self.codec.encode(mean.to(self.vector.dtype), start, keys, payload)]

    def deliver(self, payload: Tensor, start: int, stop: int) -> None:
        """Decodes the payload of a range's mean into its place."""
        with self.report.clock("decode"):
            part = self.vector[start:stop]
            if payload.data_ptr() != part.data_ptr():  # not summed there already
                self.codec.decode(payload, start, part)
            self.finite &= self.codec.is_finite(payload, start, stop)

    def deliver_average(self, payloads: Sequence[Tensor], start: int, stop: int) -> None:
        """Puts the mean of decoded payloads of a range in its place."""
        mean = self.average(payloads, start, stop)
        if mean.dtype != self.vector.dtype:
            self.vector[start:stop].copy_(mean)
        self.finite &= all(self.codec.is_finite(payload, start, stop) for payload in payloads)

    def find_not_finite(self, start: int, stop: int) -> None:
        """Remembers where this rank's vector holds Inf or NaN in a range."""
        bad = torch.isfinite(self.vector[start:stop]).logical_not().nonzero()
        self.not_finite += (bad.flatten() + start).tolist()

    def _inspect(self, payload: Tensor, start: int, stop: int) -> None:
        """Looks for Inf and NaN, and measures, before the mean takes the range's place."""
        if not self.codec.is_finite(payload, start, stop):
            self.find_not_finite(start, stop)
        if not self.measure and self.own is None:
            return
        part = self.vector[start:stop]
        decoded = torch.empty_like(part) if self.own is None else self.own[start:stop]
        self.codec.decode(payload, start, decoded)
        if self.measure:
            self.report.squared_error += float((decoded - part).double().square().sum())
            self.report.squared_norm += float(part.double().square().sum())
