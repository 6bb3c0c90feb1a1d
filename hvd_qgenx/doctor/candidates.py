"""The candidates that the doctor chooses from: pairs of a compressor and an exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

import compressors
from compressors import Compressor, IntegerCompressor
from compressors.random import generator
from compressors.spec import Spec
from hvd_qgenx.exchange.registry import concrete

PROBE = 1 << 16
"""Number of normal random numbers that errors are measured on."""


@dataclass(frozen=True)
class Candidate:
    """One way to exchange gradients."""

    text: str
    """The compressor: NAME or NAME:PARAMETER=VALUE,..."""
    exchange: str
    compressor: Compressor = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.text}, {self.exchange}"

    @property
    def compresses(self) -> bool:
        return self.text != "none"

    @property
    def options(self) -> str:
        """Returns the options of a run's command line."""
        spec = Spec.parse(self.text)
        own = "".join(f" --{name.replace('_', '-')} {value}" for name, value in spec.values.items())
        return f"--compressor {spec.name}{own} --exchange {self.exchange}"

    def error(self) -> float:
        """Returns ||Q(x) - x||^2 / ||x||^2 of one compression of normal random numbers."""
        vector = torch.randn(PROBE, generator=generator(0))
        compressor = self.compressor.for_rank(0)
        compressor.lay_out([PROBE])
        if isinstance(compressor, IntegerCompressor):
            compressor.fit(vector)
        decoded = compressor.decompress(*compressor.compress(vector))
        return float((decoded - vector).double().square().sum() / vector.double().square().sum())


def candidates(made: Mapping[str, Compressor], hierarchical: bool) -> list[Candidate]:
    """Returns ``none`` first, then every compressor with every exchange that suits it.

    Args:
        made: compressors by their texts.
        hierarchical: whether several hosts hold several ranks each.
    """
    return [
        Candidate(text, name, compressor)
        for text, compressor in {"none": compressors.make("none"), **made}.items()
        for name, exchange in concrete().items()
        if exchange.suits(compressor) and (hierarchical or not exchange.needs_hosts)
    ]
