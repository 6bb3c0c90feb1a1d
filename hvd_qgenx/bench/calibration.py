"""Fits the machine constants of the cost model to measured exchanges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks
from hvd_qgenx.exchange.pipeline import IN_FLIGHT
from hvd_qgenx.exchange.registry import concrete


@dataclass(frozen=True)
class Observation:
    """One timed exchange."""

    exchange: str
    """Name of a concrete exchange."""
    ranks: Ranks
    numel: int
    codec: CodecSpeed
    seconds: float
    slices: int = 1
    depth: int = IN_FLIGHT

    def predicted(self, machine: Machine) -> float:
        """Returns the seconds that the model predicts."""
        cost = concrete()[self.exchange].cost
        return cost(machine, self.ranks, self.numel, self.codec, self.slices, self.depth)


def calibrate(observations: Sequence[Observation]) -> Machine:
    """Returns the machine that fits the observations best: non-negative least squares of relative errors.

    A constant that no observation depends on keeps its default.

    Args:
        observations: exchanges in one slice, so that the model is linear in latencies and inverse bandwidths.
    """
    units = [Machine(**{name: 1.0}) for name in ("bandwidth", "latency", "negotiation", "local_bandwidth")]
    codec = [observation.predicted(Machine()) for observation in observations]
    rows = [[o.predicted(unit) - alone for unit in units] for o, alone in zip(observations, codec, strict=True)]
    seconds = np.array([observation.seconds for observation in observations])
    (per_byte, latency, negotiation, per_local_byte), _ = nnls(np.array(rows) / seconds[:, None], 1 - codec / seconds)
    return Machine(_inverse(per_byte), float(latency), float(negotiation), _inverse(per_local_byte))


def _inverse(value: float) -> float:
    return 1 / float(value) if value > 0 else math.inf
