"""One game played by one method."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compressors import Compressor
from hvd_qgenx.exchange import Exchange
from hvd_qgenx.games.base import Game
from hvd_qgenx.games.methods import Players
from hvd_qgenx.games.noise import Noise, NoNoise
from hvd_qgenx.games.registry import METHODS

FAR = 1e12
"""A play whose point has a larger norm, or NaN, has diverged."""
PER_DECADE = 50
"""Records in a decade of iterations, of a long play."""
SHORT = 1000
"""A play of at most so many iterations is recorded at each."""


@dataclass(frozen=True)
class Moment:
    """The state of a play after iteration t, as one worker sees it."""

    t: int
    gap: float
    """The gap of the ergodic average: the mean of the points where each iteration's last operator was taken."""
    distance: float
    """Distance of the last iterate from the solution; NaN where none is known."""
    megabytes: float
    """MB that this worker has sent so far."""
    oracle_calls: int
    """Calls of this worker's oracle so far."""
    exchanges: int
    gamma: float
    """Q-GenX's adaptive step; for other methods, their step size."""
    shown: tuple[float, float]
    """First coordinate of the first and of the last player."""


@dataclass(frozen=True)
class Record:
    """The course of one play."""

    moments: list[Moment]
    """In order of t; the first is the start."""
    diverged_at: int | None = None
    """The iteration that ended the play early."""


def play(
    game: Game,
    method: str,
    compressor: Compressor,
    exchange: Exchange,
    iterations: int,
    noise: Noise | None = None,
    lr: float | None = None,
    seed: int = 0,
) -> Record:
    """Plays the game on this worker; all workers of the exchange's transport must call it alike.

    Args:
        game: what is played.
        method: one of ``METHODS``.
        compressor: encodes the operators that workers send.
        exchange: averages the operators.
        iterations: length of the play.
        noise: how workers see the operator; None: exactly.
        lr: step size; None for the method's own.
        seed: decides the noise and the compressor's rounding.
    """
    rank = exchange.transport.rank
    players = Players(game, noise or NoNoise(), seed, compressor.for_rank(rank, seed), exchange)
    chosen = METHODS[method]
    iterate, optimizers = chosen.prepare(players, chosen.lr if lr is None else lr)
    mean = players.point.clone()
    moments = [_moment(0, players, mean, optimizers)]
    times = set(record_times(iterations))
    for t in range(1, iterations + 1):
        iterate()
        if not float(torch.linalg.vector_norm(players.point)) <= FAR:
            return Record(moments, diverged_at=t)
        mean.lerp_(players.asked, 1 / t)
        if t in times:
            moments.append(_moment(t, players, mean, optimizers))
    return Record(moments)


def record_times(iterations: int) -> list[int]:
    """Returns the iterations that are recorded: all of a short play, else evenly spaced on a logarithmic scale."""
    if iterations <= SHORT:
        return list(range(iterations + 1))
    last = math.ceil(PER_DECADE * math.log10(iterations))
    times = {round(10 ** (k / PER_DECADE)) for k in range(last)}
    return sorted({0, *(t for t in times if t < iterations), iterations})


def _moment(t: int, players: Players, mean: Tensor, optimizers: list[Any]) -> Moment:
    game, point = players.game, players.point
    return Moment(
        t,
        game.gap(mean),
        game.distance(point),
        sum(optimizer.report.bytes_sent for optimizer in optimizers) / 1e6,
        players.oracle_calls,
        sum(optimizer.exchange_count for optimizer in optimizers),
        getattr(optimizers[0], "gamma", None) or optimizers[0].param_groups[0]["lr"],
        (float(point[0]), float(point[-list(game.players.values())[-1]])),
    )
