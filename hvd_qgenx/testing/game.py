"""The contract of games."""

from collections.abc import Callable

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.games.base import Game
from hvd_qgenx.testing.requirement import require

POINTS = 50
CALLS = 2000
"""Calls of an oracle whose mean is compared with the operator."""


def check_game(make: Callable[[], Game], monotone: bool = True, tolerance: float = 1e-9) -> None:
    """Checks the contract of a game at random points about its start.

    The operator is a new float64 tensor that depends on the point alone; the start is allowed, and the projection
    keeps what is allowed and brings no points apart; the solution solves the game, with gap 0; oracles are unbiased
    and depend on seed and rank; the operator is monotone.

    Args:
        make: makes the game.
        monotone: whether <A(z) - A(w), z - w> >= 0 for all points, which theory of Q-GenX asks for.
        tolerance: how far numbers may be off.

    Raises:
        AssertionError: it breaks its contract.
    """
    game = make()
    points = _points(game)
    _check_operator(game, points)
    _check_projection(game, points, tolerance)
    if game.solution is not None:
        _check_solution(game, game.solution, points, tolerance)
    _check_oracle(game, points[0])
    if monotone:
        for one, other in zip(points, points.flip(0), strict=True):
            product = float((game.operator(one) - game.operator(other)) @ (one - other))
            scale = float((one - other).square().sum())
            require(
                product >= -tolerance * scale, f"the operator is not monotone: <A(z) - A(w), z - w> = {product:.3g}"
            )


def _points(game: Game) -> Tensor:
    """Returns allowed points, float64 (POINTS, d)."""
    total = sum(game.players.values())
    require(game.start.dtype == torch.float64, f"the start is {game.start.dtype}, not float64")
    require(game.start.dim() == 1, f"the start has shape {tuple(game.start.shape)}, not (d,)")
    require(total == game.dimension, f"players have {total} coordinates, but the start has {game.dimension}")
    noise = torch.randn(POINTS, game.dimension, generator=generator(1), dtype=torch.float64)
    points = game.start + noise
    for point in points:
        game.project(point)
    return points


def _check_operator(game: Game, points: Tensor) -> None:
    for point in points:
        before = point.clone()
        found = game.operator(point)
        require(torch.equal(point, before), "the operator changes the point")
        right = found.shape == point.shape and found.dtype == torch.float64
        require(right, f"the operator is {found.dtype} {tuple(found.shape)}, not float64 {tuple(point.shape)}")
        require(torch.isfinite(found).all(), "the operator has Inf or NaN")
        again = game.operator(point)
        require(torch.equal(found, again), "the operator of one point has two values; noise belongs in `oracle`")
        require(again.data_ptr() != found.data_ptr(), "the operator is not a new tensor at each call")
        gap = game.gap(point)
        require(isinstance(gap, float) and gap >= 0, f"a gap is {gap!r}, not a float from 0 on")


def _check_projection(game: Game, points: Tensor, tolerance: float) -> None:
    allowed = game.start.clone()
    game.project(allowed)
    require(torch.allclose(allowed, game.start, atol=tolerance), "the start is not an allowed point")
    free = 3 * torch.randn(POINTS, game.dimension, generator=generator(2), dtype=torch.float64)
    projected = free.clone()
    for point, place in zip(points, projected, strict=True):
        game.project(place)
        again = place.clone()
        game.project(again)
        require(torch.allclose(again, place, atol=tolerance), "a projected point is moved again")
        same = point.clone()
        game.project(same)
        require(torch.allclose(same, point, atol=tolerance), "an allowed point is moved")
    before, after = (torch.linalg.vector_norm(each - each.flip(0), dim=1) for each in (free, projected))
    require((after <= before + tolerance).all(), "the projection brings points apart, so it is not to the nearest")


def _check_solution(game: Game, solution: Tensor, points: Tensor, tolerance: float) -> None:
    require(game.distance(solution) == 0, f"the solution is {game.distance(solution):.3g} from itself")
    gap = game.gap(solution)
    require(abs(gap) <= tolerance, f"the gap at the solution is {gap:.3g}, not 0")
    for point in points:
        product = float(game.operator(solution) @ (point - solution))
        require(product >= -tolerance, f"the solution solves nothing: <A(z*), z - z*> = {product:.3g} for an allowed z")


def _check_oracle(game: Game, point: Tensor) -> None:
    """Requires a mean of oracles within 5 standard errors of the operator, and draws by seed and rank."""
    first, same, other = (game.oracle(seed, rank) for seed, rank in ((1, 0), (1, 0), (1, 1)))
    wanted, calls = game.operator(point), [first(point) for _ in range(CALLS)]
    require(all(torch.equal(same(point), each) for each in calls[:20]), "two oracles of one seed and rank differ")
    drawn = torch.stack(calls)
    noise = drawn.std(0)
    if noise.max() == 0:
        require(torch.equal(drawn[0], wanted), "the oracle without noise is not the operator")
        return
    others = torch.stack([other(point) for _ in range(20)])
    require(not torch.equal(others, drawn[:20]), "oracles of two ranks make the same errors")
    error, span = (drawn.mean(0) - wanted).abs(), drawn.amax(0) - drawn.amin(0)
    allowed = 5 * noise / CALLS**0.5 + 5**2 / 6 * span / CALLS
    require((error <= allowed + 1e-12).all(), f"the oracle is biased by {float((error - allowed).max()):.3g}")
