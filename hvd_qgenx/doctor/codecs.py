"""Measures the codecs on all ranks at once, since ranks of one machine share its cores and memory."""

from collections.abc import Mapping

import torch

from compressors import Compressor, IntegerCompressor
from compressors.random import generator
from hvd_qgenx.bench.timing import interleaved
from hvd_qgenx.exchange.cost import FLOAT_BYTES, CodecSpeed
from hvd_qgenx.transport import Transport

NUMEL = 1 << 20
"""Number of coordinates encoded and decoded; about one slice at 6 bits."""
ROUNDS = 5


def load(made: Mapping[str, Compressor]) -> None:
    """Loads the kernels, compiling those that were never called on this machine."""
    for compressor in made.values():
        compressor.decompress(*compressor.for_rank(0).compress(torch.ones(1 << 12)))


def measure(made: Mapping[str, Compressor], transport: Transport) -> dict[str, list[CodecSpeed]]:
    """Returns the speeds of every compressor on every rank, in rank order. Collective; takes a fraction of a second."""
    vector = torch.randn(NUMEL, generator=generator(transport.rank))
    mine = {text: _speeds(compressor.for_rank(transport.rank), vector, transport) for text, compressor in made.items()}
    everyone = transport.all_gather_object(mine, "doctor.codecs")
    return {text: [theirs[text] for theirs in everyone] for text in made}


def slowest(codecs: list[CodecSpeed]) -> CodecSpeed:
    """Returns the speeds of the slowest rank, which all others wait for."""
    return CodecSpeed(codecs[0].bits, min(c.encode for c in codecs), min(c.decode for c in codecs))


def _speeds(compressor: Compressor, vector: torch.Tensor, transport: Transport) -> CodecSpeed:
    compressor.lay_out([NUMEL])
    if isinstance(compressor, IntegerCompressor):
        compressor.fit(vector)
    payload = torch.empty(compressor.payload_bytes(NUMEL), dtype=torch.uint8)
    used = compressor.encode(vector, payload, 1)
    total = torch.zeros_like(vector)
    transport.all_gather_object(None, "doctor.codec")  # a barrier
    times = interleaved(
        {
            "encode": lambda: compressor.encode(vector, payload, 1),
            "decode": lambda: compressor.decode(payload[:used], total, add=True),
        },
        ROUNDS,
    )
    size = FLOAT_BYTES * NUMEL
    return CodecSpeed(8 * used / NUMEL, size / times["encode"].median, size / times["decode"].median)
