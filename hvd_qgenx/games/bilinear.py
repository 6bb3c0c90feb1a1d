"""The bilinear game min over theta, max over phi of <theta, phi>, and ways to play it.

Its only solution is (0, 0); simultaneous gradient steps turn away from it. Source of the
one-dimensional set-up (start, step sizes, phi kept in [-1, 1]): Gidel et al., "A variational
inequality perspective on GANs" (ICLR 2019), whose WGAN with linear players it is.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compressors import Compressor
from compressors.random import generator
from hvd_qgenx.exchange import Exchange
from hvd_qgenx.optim import DistributedOptimizer, ExtraSGD


@dataclass(frozen=True)
class BilinearGame:
    """The game, where it starts, and what every worker sees of its operator."""

    dimension: int = 1
    start: tuple[float, float] = (2.0, 0.5)
    """theta and phi at the start, the same in every coordinate."""
    clip: float | None = 1.0
    """phi is kept in [-clip, clip]; None leaves it free."""
    noise: float = 0.0
    """Standard deviation of the Gaussian noise that every worker adds to every coordinate."""
    seed: int = 0


class Players:
    """Both players on one worker, moved by distributed optimizers; float64."""

    def __init__(self, game: BilinearGame, exchange: Exchange) -> None:
        self.game, self.exchange = game, exchange
        self.theta = torch.full((game.dimension,), game.start[0], dtype=torch.float64, requires_grad=True)
        self.phi = torch.full((game.dimension,), game.start[1], dtype=torch.float64, requires_grad=True)
        self._calls = 0

    def optimizer(self, cls: type, lr: float, compression: Compressor, *players: str) -> Any:
        groups = [{"params": [getattr(self, player)], "player": player} for player in players]
        return DistributedOptimizer(
            cls(groups, lr=lr), None, compression, exchange=self.exchange, transport=self.exchange.transport
        )

    def fill_gradients(self) -> None:
        """Puts this worker's view of the operator (phi, -theta) into the gradients."""
        theta, phi = self.theta.detach(), self.phi.detach()
        self.theta.grad, self.phi.grad = self._noisy(phi), self._noisy(-theta)

    @torch.no_grad()
    def project(self) -> None:
        if self.game.clip is not None:
            self.phi.clamp_(-self.game.clip, self.game.clip)

    @property
    def point(self) -> Tensor:
        """(theta, phi) end to end, a copy."""
        return torch.cat([self.theta, self.phi]).detach()

    def _noisy(self, exact: Tensor) -> Tensor:
        self._calls += 1
        random = generator(self.game.seed, self.exchange.transport.rank, self._calls)
        return exact + self.game.noise * torch.randn(exact.shape, generator=random, dtype=exact.dtype)


Iteration = Callable[[], Any]


def simultaneous(players: Players, lr: float, compression: Compressor) -> tuple[Iteration, list[Any]]:
    """Gradient descent-ascent: both players move at once."""
    optimizer = players.optimizer(torch.optim.SGD, lr, compression, "theta", "phi")

    def iterate() -> None:
        players.fill_gradients()
        optimizer.step()
        players.project()

    return iterate, [optimizer]


def alternating(players: Players, lr: float, compression: Compressor) -> tuple[Iteration, list[Any]]:
    """phi moves first, theta then sees the new phi."""
    optimizers = [players.optimizer(torch.optim.SGD, lr, compression, player) for player in ("phi", "theta")]

    def iterate() -> None:
        for optimizer in optimizers:
            players.fill_gradients()
            optimizer.step()
            players.project()

    return iterate, optimizers


def extragradient(players: Players, lr: float, compression: Compressor) -> tuple[Iteration, list[Any]]:
    """Both move with the operator at the extrapolated point; two exchanges an iteration."""
    optimizer = players.optimizer(ExtraSGD, lr, compression, "theta", "phi")

    def iterate() -> None:
        players.fill_gradients()
        optimizer.extrapolation()
        players.fill_gradients()
        optimizer.step()
        players.project()

    return iterate, [optimizer]


def past(players: Players, lr: float, compression: Compressor) -> tuple[Iteration, list[Any]]:
    """Extrapolation from the past: the last exchanged operator extrapolates; one exchange an iteration."""
    optimizer = players.optimizer(ExtraSGD, lr, compression, "theta", "phi")
    players.fill_gradients()
    optimizer.synchronize()

    def iterate() -> None:
        with optimizer.skip_synchronize():
            optimizer.extrapolation()
        players.project()
        players.fill_gradients()
        optimizer.step()
        players.project()

    return iterate, [optimizer]


METHODS: dict[str, tuple[Callable[..., tuple[Iteration, list[Any]]], float]] = {
    "simultaneous": (simultaneous, 0.1),
    "alternating": (alternating, 0.1),
    "extra-gradient": (extragradient, 0.6),
    "past": (past, 0.5),
}
"""Every method, with its default step size."""


@dataclass(frozen=True)
class Trajectory:
    """What one worker saw of one play."""

    points: Tensor
    """(iterations + 1, 2 * dimension): theta and phi, the start included."""
    megabytes: list[float]
    """Sent by this worker up to every iteration."""

    @property
    def distances(self) -> list[float]:
        """Euclidean distance to the solution (0, 0) at every iteration."""
        distances: list[float] = torch.linalg.vector_norm(self.points, dim=1).tolist()
        return distances


def play(
    game: BilinearGame,
    method: str,
    compression: Compressor,
    exchange: Exchange,
    iterations: Iterable[object],
    lr: float | None = None,
) -> Trajectory:
    """Plays the game on this worker; all workers of the exchange's transport must call it alike.

    Args:
        game: where to start, and what is seen.
        method: one of ``METHODS``.
        compression: what the operator goes through.
        exchange: how the workers average.
        iterations: one iteration is made for each item.
        lr: step size; None for the method's own.
    """
    players = Players(game, exchange)
    start, default = METHODS[method]
    iterate, optimizers = start(players, default if lr is None else lr, compression)
    points, megabytes = [players.point], [0.0]
    for _ in iterations:
        iterate()
        points.append(players.point)
        megabytes.append(sum(optimizer.report.bytes_sent for optimizer in optimizers) / 1e6)
    return Trajectory(torch.stack(points), megabytes)
