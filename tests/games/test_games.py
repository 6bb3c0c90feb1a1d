"""Every game: its operator, its solution, its gap, its constraint."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.bilinear import Bilinear, LinearWGAN, from_matrix, from_spectrum
from hvd_qgenx.games.dirac import DiracGAN
from hvd_qgenx.games.matrix import MatrixGame, on_simplex, rock_paper_scissors
from hvd_qgenx.games.registry import LOSSES
from hvd_qgenx.games.stochastic import StochasticBilinear

GAMES = {
    "bilinear": from_spectrum(4, 0.3, 1.0, seed=1),
    "quadratic": from_spectrum(4, 0.3, 1.0, seed=1, mu=0.3),
    "linear-wgan": LinearWGAN(3),
    "stochastic-bilinear": StochasticBilinear(5, seed=1),
    "matrix": rock_paper_scissors(5),
    "dirac-gan": DiracGAN(penalty=0.5),
}


def points(game, count, seed=0, scale=1.0):
    random = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, game.dimension, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_the_solution_solves_it(game):
    """<A(z*), z - z*> >= 0 for every allowed z, and the gap there is 0."""
    assert game.gap(game.solution) == pytest.approx(0, abs=1e-12)
    for point in points(game, 50):
        game.project(point)
        assert float(game.operator(game.solution) @ (point - game.solution)) >= -1e-12


@pytest.mark.parametrize("name", [name for name in GAMES if name != "dirac-gan"])
def test_the_operator_is_monotone(name):
    game = GAMES[name]
    for one, other in zip(points(game, 50, 1), points(game, 50, 2), strict=True):
        product = float((game.operator(one) - game.operator(other)) @ (one - other))
        assert product >= -1e-12
        if name == "quadratic":
            difference = game.operator(one) - game.operator(other)
            assert product == pytest.approx(0.3 * float((one - other).square().sum()))
            assert product >= 0.3 / (0.3**2 + 1) * float(difference.square().sum()) - 1e-12  # cocoercive


@pytest.mark.parametrize("name", ["bilinear", "quadratic", "linear-wgan", "stochastic-bilinear"])
@pytest.mark.parametrize("scale", [0.05, 1.0, 10.0])
def test_the_restricted_gap_is_the_largest_value_on_the_ball(name, scale):
    game = GAMES[name]
    for point in points(game, 3, scale=scale) + game.solution:

        def value(direction, point=point):
            inside = game.solution + torch.from_numpy(direction)
            return float(game.operator(inside) @ (point - inside))

        ball = {"type": "ineq", "fun": lambda w: game.radius**2 - w @ w}
        start = np.full(game.dimension, 0.01)
        found = optimize.minimize(
            lambda w: -value(w), start, constraints=[ball], options={"maxiter": 500, "ftol": 1e-12}
        )
        assert game.gap(point) == pytest.approx(-found.fun, rel=1e-5)


def test_gap_of_a_bilinear_game_by_hand():
    """B = 2, z* = (1, -1), z = (2, 2): A = (2 * 3, -2 * 1), so the gap on the unit ball is sqrt(40)."""
    game = Bilinear(
        torch.tensor([[2.0]]).double(), torch.zeros(2).double(), torch.tensor([1.0, -1.0], dtype=torch.float64)
    )
    point = torch.tensor([2.0, 2.0], dtype=torch.float64)
    assert game.operator(point).tolist() == [6, -2]
    assert game.gap(point) == pytest.approx(math.sqrt(40))


def test_spectrum_and_solution_are_those_asked_for():
    game = from_spectrum(10, 0.3, 1.0, seed=5)
    assert torch.linalg.svdvals(game.coupling).flip(0).numpy() == pytest.approx(np.linspace(0.3, 1, 10))
    assert float(game.solution.norm()) == pytest.approx(1)
    assert not game.start.any()
    assert not torch.equal(game.coupling, from_spectrum(10, 0.3, 1.0, seed=6).coupling)


def test_a_diagonal_coupling_is_that_matrix():
    diagonal, start = torch.tensor([0.5, 2.0]).double(), torch.ones(4).double()
    thin, full = (Bilinear(coupling, start, 0 * start, mu=0.1) for coupling in (diagonal, diagonal.diag()))
    for point in points(thin, 3):
        assert torch.equal(thin.operator(point), full.operator(point))


def test_a_bilinear_matrix_must_be_square():
    with pytest.raises(ConfigurationError, match="square, this one is 2 x 3"):
        from_matrix(torch.zeros(2, 3), seed=0)


def test_phi_of_the_linear_wgan_is_clipped():
    point = torch.tensor([3.0, 3.0, -0.5, -7.0], dtype=torch.float64)
    LinearWGAN(2, clip=1.0).project(point)
    assert point.tolist() == [3, 3, -0.5, -1]
    LinearWGAN(2, clip=None).project(point[:2])
    assert point[1] == 3


def test_terms_of_the_stochastic_game_average_to_its_operator():
    game = StochasticBilinear(7, seed=3)
    point = points(game, 1)[0]
    assert game.sample(point, torch.arange(7)).numpy() == pytest.approx(game.operator(point).numpy())
    assert game.sample(point, torch.tensor([2, 2, 4])).numpy() == pytest.approx(
        ((2 * game.sample(point, torch.tensor([2])) + game.sample(point, torch.tensor([4]))) / 3).numpy()
    )


def test_one_term_of_the_stochastic_game_is_the_gradient_of_its_loss():
    game, index = StochasticBilinear(4, seed=3), 2
    theta, phi = (part.clone().requires_grad_() for part in points(game, 1)[0].chunk(2))
    offset_theta, offset_phi = game.offsets[index].chunk(2)
    loss = theta[index] * phi[index] + offset_theta @ theta + offset_phi @ phi
    towards_theta, towards_phi = torch.autograd.grad(loss, [theta, phi])
    found = game.sample(torch.cat([theta, phi]).detach(), torch.tensor([index]))
    assert torch.equal(found, torch.cat([towards_theta, -towards_phi]))


def test_the_stochastic_oracle_is_unbiased_and_samples():
    game = StochasticBilinear(5, seed=3, batch=2)
    point, calls = points(game, 1)[0], 20_000
    oracle = game.oracle(seed=0, rank=0)
    answers = torch.stack([oracle(point) for _ in range(calls)])
    assert len(answers.unique(dim=0)) == 15  # two of five terms, order aside
    error = (answers.mean(0) - game.operator(point)).abs()
    assert (error <= 4.5 * answers.std(0) / math.sqrt(calls)).all()


def test_the_duality_gap_is_what_best_answers_gain():
    """x plays rock, y paper with 1/2: y could win 1 by paper, x could win 1/2 by scissors."""
    game = rock_paper_scissors()
    point = torch.tensor([1, 0, 0, 0.5, 0.5, 0], dtype=torch.float64)
    assert game.payoff.tolist() == [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]
    assert game.gap(point) == 1 + 0.5


def test_optimal_strategies_have_no_duality_gap_whatever_the_payoff():
    """Against linear programming, for a payoff that is not square."""
    payoff = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    game = MatrixGame(payoff)

    def best(matrix):
        """The mixture x that minimises max(x^T P)."""
        rows, columns = matrix.shape
        return optimize.linprog(
            [0] * rows + [1],
            A_ub=np.hstack([matrix.T, -np.ones((columns, 1))]),
            b_ub=np.zeros(columns),
            A_eq=[[1] * rows + [0]],
            b_eq=[1],
            bounds=[(0, None)] * rows + [(None, None)],
        ).x[:rows]

    solution = torch.from_numpy(np.concatenate([best(payoff.numpy()), best(-payoff.T.numpy())]))
    assert game.gap(solution) == pytest.approx(0, abs=1e-9)
    assert game.gap(game.start) > 0.1


@pytest.mark.parametrize("actions", [2, 4, 1])
def test_rock_paper_scissors_needs_an_odd_number(actions):
    with pytest.raises(ConfigurationError, match="odd number of actions"):
        rock_paper_scissors(actions)


@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.1, 1, 100])
def test_projection_onto_the_simplex(size, scale):
    """p is nearest to v if and only if <v - p, q - p> <= 0 for every corner q."""
    for vector in scale * torch.randn(20, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64):
        nearest = on_simplex(vector)
        assert float(nearest.sum()) == pytest.approx(1)
        assert (nearest >= 0).all()
        assert ((vector - nearest) @ (torch.eye(size) - nearest).T.double() <= 1e-12 * scale).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_the_dirac_gan_descends_the_losses_of_its_players(loss, centre):
    game = DiracGAN(loss, penalty=0.7, centre=centre)
    f = (lambda t: t) if loss == "wgan" else torch.nn.functional.logsigmoid
    for point in points(game, 5, scale=2.0):
        theta, psi = (part.clone().requires_grad_() for part in point)
        generator_loss = -f(-psi * theta) if loss == "ns-gan" else f(psi * theta)
        discriminator_loss = -f(psi * theta) - f(torch.zeros(())) + 0.35 * (psi.abs() - centre) ** 2
        wanted = [torch.autograd.grad(generator_loss, theta)[0], torch.autograd.grad(discriminator_loss, psi)[0]]
        assert game.operator(point).numpy() == pytest.approx(torch.stack(wanted).detach().numpy())


def test_an_unknown_loss_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'ns-gan'"):
        DiracGAN("nsgan")
