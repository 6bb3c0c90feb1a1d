"""Ways to play a game, all through distributed optimizers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.optim import Optimizer

from compressors import Compressor
from hvd_qgenx.exchange import Exchange
from hvd_qgenx.games.base import Game
from hvd_qgenx.games.noise import Noise
from hvd_qgenx.optim import QODA, DistributedOptimizer, ExtraAdam, ExtraSGD, OptimisticAdam, OptimisticSGD, QGenX
from hvd_qgenx.optim.eager import SGD, Adam


class Players:
    """All players of a game on one worker, with their costs; float64.

    Every player is one parameter, a view into ``point``.
    """

    def __init__(self, game: Game, noise: Noise, seed: int, compressor: Compressor, exchange: Exchange) -> None:
        self.game, self.compressor = game, compressor
        self.exchange = exchange
        self.point = game.start.clone()
        """The stacked point, where the optimizers have moved it."""
        self.asked = game.start.clone()
        """The point of the last call of the oracle."""
        self.oracle_calls = 0
        rank = exchange.transport.rank
        self._oracle = noise.oracle(game.oracle(seed, rank), game.players, seed, rank)
        self._sizes = list(game.players.values())
        parts = self.point.split(self._sizes)
        self._parameters = {
            player: part.detach().requires_grad_() for player, part in zip(game.players, parts, strict=True)
        }

    def optimizer(self, make: Callable[..., Any], lr: float, *players: str) -> Any:
        """Makes a distributed optimizer of these players, by default of all."""
        groups = [{"params": [self._parameters[player]], "player": player} for player in players or self.game.players]
        optimizer = DistributedOptimizer(make(groups, lr=lr), None, self.compressor, exchange=self.exchange)
        optimizer.raise_on_divergence = True
        return optimizer

    def fill_gradients(self) -> None:
        """Calls this worker's oracle where the players are, and puts the answer into the gradients."""
        self.oracle_calls += 1
        self.asked.copy_(self.point)
        answers = self._oracle(self.point).split(self._sizes)
        for parameter, answer in zip(self._parameters.values(), answers, strict=True):
            parameter.grad = answer

    def project(self) -> None:
        """Moves the stacked point, in place, to the nearest allowed one."""
        self.game.project(self.point)


BETAS = (0.0, 0.99)
"""Adam's, as in the bilinear game of Gidel et al."""

Iteration = Callable[[], None]


@dataclass(frozen=True)
class Method:
    """A way to play: prepares the players and returns one iteration, with the optimizers that it moves."""

    prepare: Callable[[Players, float], tuple[Iteration, list[Any]]]
    lr: float
    """Default step size."""


def simultaneous(make: Callable[..., Any], players: Players, lr: float) -> tuple[Iteration, list[Any]]:
    """One optimizer moves all players at once; one that extrapolates calls the oracle and moves twice."""
    optimizer = players.optimizer(make, lr)
    extrapolates = optimizer.moves_per_step == 2

    def iterate() -> None:
        players.fill_gradients()
        if extrapolates:
            optimizer.extrapolation()
            if players.game.projects_extrapolation:
                players.project()
            players.fill_gradients()
        optimizer.step()
        players.project()

    return iterate, [optimizer]


def alternating(players: Players, lr: float) -> tuple[Iteration, list[Any]]:
    """Gradient steps in turn: the last player moves first, and the others see its new point."""
    optimizers = [players.optimizer(SGD, lr, player) for player in reversed(players.game.players)]

    def iterate() -> None:
        for optimizer in optimizers:
            players.fill_gradients()
            optimizer.step()
            players.project()

    return iterate, optimizers


def past(players: Players, lr: float) -> tuple[Iteration, list[Any]]:
    """Extrapolation from the past: the last exchanged operator extrapolates; one exchange an iteration.

    After an iteration the players are at X_t, which ``PastExtraSGD`` keeps to itself: so it can be projected.
    """
    optimizer = players.optimizer(ExtraSGD, lr)
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


def _method(optimizer: type[Optimizer], lr: float, **arguments: Any) -> Method:
    return Method(partial(simultaneous, partial(optimizer, **arguments)), lr)


SGDA = _method(SGD, 0.3)
ALTERNATING = Method(alternating, 0.3)
EXTRA_GRADIENT = _method(ExtraSGD, 0.3)
PAST = Method(past, 0.3)
OPTIMISTIC = _method(OptimisticSGD, 0.3)
ADAM = _method(Adam, 0.01, betas=BETAS)
EXTRA_ADAM = _method(ExtraAdam, 0.01, betas=BETAS)
OPTIMISTIC_ADAM = _method(OptimisticAdam, 0.01, betas=BETAS)
QGENX_DA = _method(QGenX, 1.0, variant="da")
QGENX_DE = _method(QGenX, 1.0, variant="de")
QGENX_OPTDA = _method(QGenX, 1.0, variant="optda")
QODA_JOINT = _method(QODA, 1.0)
QODA_SEPARATED = _method(QODA, 1.0, exponent=0.25)
