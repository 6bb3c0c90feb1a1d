"""Messages of ranks that gossip, and the compressors that fit a method."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from compressors import Compressor, Exempt
from compressors.random import derive
from compressors.scaled import as_contraction
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange import Codec
from hvd_qgenx.exchange.codec import Keys
from hvd_qgenx.gossip.mixings.base import Mixing

log = logging.getLogger(__name__)


class Messages:
    """Turns vectors of one rank into payloads, and those of its neighbours back.

    Args:
        codec: of the vectors; equal on all ranks but for its random stream.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    @property
    def payload_bytes(self) -> int | None:
        """Bytes of every payload; None if they vary."""
        return self.codec.payload_bytes(0, self.codec.numel) if self.codec.exact_size else None

    def encode(self, vector: Tensor) -> Tensor:
        """Returns the payload of a vector, uint8, with the next random key of this rank.

        Random places, which ranks share where sums are sent, are its own too: if all ranks left out the same
        coordinates, replicas would be as old everywhere, and the largest stable consensus step size half as large.
        """
        ranks = [segment.compressor.stream.rank for segment in self.codec.segments]
        keys = [Keys(derive(key.own, rank), None) for key, rank in zip(self.codec.next_keys(), ranks, strict=True)]
        payload = vector.new_empty(self.codec.payload_bytes(0, self.codec.numel), dtype=torch.uint8)
        return payload[: self.codec.encode(vector, 0, keys, payload)]

    def decode(self, payload: Tensor, vector: Tensor) -> Tensor:
        """Decodes a payload into a vector; returns that."""
        self.codec.decode(payload, 0, vector)
        return vector

    def is_finite(self, payload: Tensor) -> bool:
        """Tells whether a payload decodes to finite numbers only."""
        return self.codec.is_finite(payload, 0, self.codec.numel)


def fitting(compression: Compressor, mixing: type[Mixing]) -> Compressor:
    """Returns the compressor as a method takes it: where it needs contractions, an unbiased one is scaled.

    A biased compressor for a method that is made for unbiased ones gets a warning.

    Raises:
        ConfigurationError: the method does not go with it.
    """
    if isinstance(compression, Exempt):
        return Exempt(fitting(compression.inner, mixing), compression.rest, compression.min_numel)
    name = compression.name
    if compression.reduction in ("sum", "rounds"):
        raise ConfigurationError(f"{name} sends what all ranks add up, not what one neighbour can decode; use minmax")
    if compression.learner is not None:
        raise ConfigurationError(f"{name} learns levels from all ranks, which gossip does not ask; use minmax")
    if mixing.takes == "nothing" and compression.reduction != "average":
        raise ConfigurationError(f"{mixing.name} sends vectors uncompressed; use none, or choco with {name}")
    if mixing.takes == "unbiased" and not compression.unbiased and compression.reduction != "average":
        log.warning(
            f"{mixing.name} is made for unbiased compressors, and {name} is biased: "
            "errors of replicas add up, and training may diverge; choco has no such limit"
        )
    return as_contraction(compression) if mixing.takes == "contractions" else compression


def is_lost(drop: float, seed: int, step: int, sender: int, receiver: int) -> bool:
    """Tells whether a message is lost in an experiment that loses a share ``drop`` of them, at random."""
    return drop > 0 and derive(seed, step, sender, receiver) < drop * 2**64
