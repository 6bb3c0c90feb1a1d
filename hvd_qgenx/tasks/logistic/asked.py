"""Decentralized methods as they are asked for: names with compressors, topologies and consensus step sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.choices import AUTO, Choice, StepSize, combinations
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.tasks.logistic.decentralized import Decentralized
from hvd_qgenx.tasks.logistic.registry import METHODS

QUASI_GLOBAL = "+qg"
"""Ends the name of a method with quasi-global momentum."""


@dataclass(frozen=True)
class Settings:
    """Settings that all decentralized methods share."""

    memory: float
    momentum: float
    """Decay of the quasi-global momentum, for methods that have it."""
    overlap: bool
    drop: float
    full: bool
    """Full gradients."""


class Asked(NamedTuple):
    """A decentralized method with a compressor that fits it."""

    method: str
    """With ``QUASI_GLOBAL``, if it has that."""
    choice: Choice

    @property
    def mixing(self) -> str:
        return self.method.removesuffix(QUASI_GLOBAL)

    def label(self, step: StepSize) -> str:
        """Returns a name for reports."""
        size = f"@{step.text}" if MIXINGS[self.mixing].tuned and step.text != AUTO else ""
        sent = f"{self.choice.text}{size}"
        return self.method if sent == "none" else f"{self.method} {sent}"


def read(methods: Iterable[str], compressors: Iterable[str], steps: Iterable[str]) -> tuple[list[str], list[Asked]]:
    """Returns the names of methods with one point for all workers, and the decentralized ones.

    Args:
        methods: names of ``METHODS`` or of mixings, these also with ``QUASI_GLOBAL``.
        compressors: of decentralized methods, ``SPEC`` or ``SPEC@STEP,...``.
        steps: consensus step sizes of compressors that have none of their own.

    Raises:
        ConfigurationError: there is no such method or compressor, or a method fits with no compressor.
    """
    names = list(dict.fromkeys(methods))
    for name in names:
        if name not in METHODS and name.removesuffix(QUASI_GLOBAL) not in MIXINGS:
            raise ConfigurationError(unknown("method", name, [*METHODS, *MIXINGS]))
    sizes = [StepSize.read(text) for text in dict.fromkeys(steps)]
    choices = [Choice.read(text, sizes) for text in dict.fromkeys(compressors)]
    asked = [
        Asked(name, choice)
        for name in names
        if name not in METHODS
        for _, choice in combinations([name.removesuffix(QUASI_GLOBAL)], choices)
    ]
    if not asked and any(choice.text != "none" for choice in choices):
        raise ConfigurationError("none of the methods takes a compressor; add --method choco")
    return [name for name in names if name in METHODS], asked


def check(asked: Sequence[Asked], topologies: Sequence[Topology], overlap: bool) -> None:
    """Raises ConfigurationError if a method does not work on a topology, or none can overlap as is wanted."""
    for method in asked:
        for topology in topologies:
            MIXINGS[method.mixing].check(topology)
    if overlap and not any(MIXINGS[method.mixing].overlaps for method in asked):
        raise ConfigurationError("--overlap is for choco, beer and motef, and none of the methods is one of them")


def make(
    asked: Sequence[Asked], topologies: Sequence[Topology], settings: Settings, dimension: int
) -> dict[str, Decentralized]:
    """Makes the methods, by name for reports; consensus step sizes that are to be found are found now.

    Args:
        asked: methods and their compressors.
        topologies: of the workers.
        settings: what they have in common.
        dimension: length of a point.
    """
    made = {}
    for topology in topologies:
        place = f" on {topology.name}" if len(topologies) > 1 else ""
        for method in asked:
            mixing, compressor = method.mixing, method.choice.compressor
            momentum = settings.momentum if method.method.endswith(QUASI_GLOBAL) else 0.0
            for step in method.choice.steps_for(mixing):
                made[method.label(step) + place] = Decentralized(
                    mixing,
                    compressor,
                    topology,
                    step.candidates(topology, compressor, mixing, dimension, momentum),
                    settings.memory,
                    momentum,
                    settings.overlap,
                    settings.drop,
                    settings.full,
                )
    return made
