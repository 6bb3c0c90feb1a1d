"""Memories on the way of a vector: what compression took from it, or what all ranks know of it already."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from compressors.naming import shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.codec import Codec


class Memory(ABC):
    """Changes what a rank sends by what it has sent before; one for each vector, over all its exchanges.

    The exchange must tell a rank its vector as the others decode it, and decode sums or payloads once: then memories
    hold what really went over the wire. Coordinates that are not compressed have no memory.

    Args:
        vector: a vector like those that will be exchanged.
        codec: compresses it.
    """

    kind: ClassVar[str]
    count: ClassVar[int]
    """Vectors that it remembers."""

    needs_own = True
    """Must the exchange keep this rank's vector as it was decoded?"""

    def __init__(self, vector: Tensor, codec: Codec) -> None:
        self.vectors = [torch.zeros_like(vector) for _ in range(self.count)]
        self._compressed = [(start, stop) for compressor, start, stop in codec.segments if compressor.name != "none"]

    def before(self, part: Tensor, start: int, stop: int) -> None:
        """Changes the coordinates from ``start`` to ``stop``, before they are encoded."""
        for lo, hi in self._pieces(start, stop):
            self._change(part[lo - start : hi - start], lo, hi)

    def known(self, sent: Tensor) -> Tensor:
        """Returns this rank's vector as the others know it, from what it has sent, decoded."""
        return sent

    def after(self, vector: Tensor, sent: Tensor | None, mean: Tensor) -> None:
        """Completes the mean and remembers, once all is exchanged.

        Args:
            vector: what was to be sent, as ``before`` has made it.
            sent: the same as it was decoded; None unless ``needs_own``.
            mean: that of all ranks.
        """
        assert sent is not None
        for lo, hi in self._compressed:
            self._remember(vector[lo:hi], sent[lo:hi], mean[lo:hi], lo, hi)

    def _change(self, part: Tensor, start: int, stop: int) -> None:
        raise NotImplementedError

    def _remember(self, vector: Tensor, sent: Tensor, mean: Tensor, start: int, stop: int) -> None:
        raise NotImplementedError

    def _pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        bounds = [(max(lo, start), min(hi, stop)) for lo, hi in self._compressed]
        return [(lo, hi) for lo, hi in bounds if lo < hi]


class ErrorFeedback(Memory):
    """Sends the gradient plus what compression has taken from earlier ones, so that nothing is lost for good.

    e <- g + e - Q(g + e). Made for biased compressors. Source: Seide et al., "1-bit SGD" (Interspeech 2014);
    Karimireddy et al., "Error feedback fixes SignSGD" (ICML 2019).
    """

    kind = "error"
    count = 1

    def _change(self, part: Tensor, start: int, stop: int) -> None:
        part += self.vectors[0][start:stop]

    def _remember(self, vector: Tensor, sent: Tensor, mean: Tensor, start: int, stop: int) -> None:
        torch.sub(vector, sent, out=self.vectors[0][start:stop])


class Shift(Memory):
    """Sends the difference of the gradient to a shift h_i; all ranks know the mean h of the shifts.

    q_i = Q(g_i - h_i); the mean is h + mean(q_i); h_i <- h_i + q_i; h <- h + mean(q_i). Differences go to zero where
    gradients of ranks differ at the optimum. Made for unbiased compressors. Source: Mishchenko et al., "DIANA" (2019);
    IntDIANA in Mishchenko et al., "IntSGD" (ICLR 2022), Algorithm 3.
    """

    kind = "shift"
    count = 2

    rate = 1.0
    """Factor on q_i in the update of shifts; for a compressor of relative variance w at most 1 / (1 + w)."""

    def _change(self, part: Tensor, start: int, stop: int) -> None:
        part -= self.vectors[0][start:stop]

    def known(self, sent: Tensor) -> Tensor:
        known = sent.clone()
        for lo, hi in self._compressed:
            known[lo:hi] += self.vectors[0][lo:hi]
        return known

    def _remember(self, vector: Tensor, sent: Tensor, mean: Tensor, start: int, stop: int) -> None:
        mine, common = (each[start:stop] for each in self.vectors)
        mine.add_(sent, alpha=self.rate)
        before = common.clone()
        common.add_(mean, alpha=self.rate)
        mean += before


_KINDS: dict[str, type[Memory]] = {found.kind: found for found in (ErrorFeedback, Shift)}
NAMES = ("none", *_KINDS)


def make(name: str, rate: float, vector: Tensor, codec: Codec) -> Memory | None:
    """Makes the memory called ``name`` for a vector; None for ``none``, and where nothing is compressed.

    Raises:
        ConfigurationError: there is no such memory.
    """
    if name not in NAMES:
        raise ConfigurationError(f"unknown feedback {shown(name)}; it is one of {', '.join(NAMES)}")
    if name == "none" or all(compressor.name == "none" for compressor, _, _ in codec.segments):
        return None
    memory = _KINDS[name](vector, codec)
    if isinstance(memory, Shift):
        memory.rate = rate
    return memory
