"""Compressors and consensus step sizes as text: ``SPEC`` or ``SPEC@STEP,...``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compressors import Compressor, text
from compressors.naming import shown
from hvd_qgenx.errors import ConfigurationError, configuration_errors
from hvd_qgenx.gossip.messages import fitting
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.gossip.tuning import safe_step

AUTO = "auto"
"""``tuning.safe_step``."""
MOST_IN_GRID = 100


class StepSize(NamedTuple):
    """A consensus step size as it was written."""

    text: str
    values: tuple[float, ...]
    """The numbers to try, of which the best counts; none: it is found."""

    @classmethod
    def read(cls, written: str) -> StepSize:
        """Reads a number, ``auto``, or a geometric grid ``LOW:HIGH:COUNT``, of which the best counts.

        >>> StepSize.read("0.1:0.4:3").values
        (0.1, 0.2, 0.4)

        Raises:
            ConfigurationError: it is none of them, or a number is not positive.
        """
        if written == AUTO:
            return cls(written, ())
        low, *rest = written.split(":")
        if not rest:
            return cls(written, (_positive(low, written),))
        if len(rest) != 2 or not rest[1].isdecimal() or not 2 <= int(rest[1]) <= MOST_IN_GRID:
            raise ConfigurationError(
                f"{shown(written)} is no consensus step size: give a number, auto, or LOW:HIGH:COUNT"
            )
        ends = _positive(low, written), _positive(rest[0], written)
        return cls(written, tuple(float(f"{value:.6g}") for value in np.geomspace(*ends, int(rest[1]))))

    def candidates(
        self, topology: Topology, compressor: Compressor, mixing: str, dimension: int, momentum: float = 0.0
    ) -> tuple[float, ...]:
        """Returns the values, or the one that ``safe_step`` finds; 1 if the mixing has no consensus step size."""
        if not MIXINGS[mixing].tuned:
            return (1.0,)
        return self.values or (safe_step(topology, compressor, mixing, dimension, momentum),)


@dataclass(frozen=True)
class Choice:
    """A compressor, and the consensus step sizes that it is to be used with."""

    text: str
    """Without step sizes."""
    compressor: Compressor
    step_sizes: Sequence[StepSize]

    @classmethod
    def read(cls, written: str, otherwise: Sequence[StepSize]) -> Choice:
        """Reads ``SPEC`` or ``SPEC@STEP,...``.

        Args:
            written: the text.
            otherwise: step sizes where it has none.

        Raises:
            ConfigurationError: there is no such compressor, or a step size cannot be read.
        """
        spec, at, steps = written.partition("@")
        with configuration_errors():
            made = text.parse(spec)
        own = [StepSize.read(step) for step in steps.split(",")] if at else otherwise
        return cls(spec, made, own)

    def steps_for(self, mixing: str) -> Sequence[StepSize]:
        """Returns the step sizes that make a difference to a mixing."""
        return self.step_sizes if MIXINGS[mixing].tuned else [StepSize("1", (1.0,))]


def combinations(mixings: Iterable[str], choices: Sequence[Choice]) -> list[tuple[str, Choice]]:
    """Returns every mixing with every compressor that fits it.

    Raises:
        ConfigurationError: an unknown mixing, or one that no compressor fits.
    """
    found = []
    for mixing in dict.fromkeys(mixings):
        refusals = []
        for choice in choices:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the run will warn
                    fitting(choice.compressor, MIXINGS[mixing])
            except ConfigurationError as error:
                refusals.append(error)
            else:
                found.append((mixing, choice))
        if len(refusals) == len(choices):
            raise refusals[0]
    return found


def _positive(number: str, written: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationError(
            f"{shown(written)} is no consensus step size: it must be a positive number, auto or a grid"
        )
    return value
