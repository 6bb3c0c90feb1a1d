"""hvd-qgenx game"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compressors.naming import unknown
from hvd_qgenx.cli.comparison import comparison_options, run_comparison
from hvd_qgenx.cli.options import F, Finite
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.registry import GAMES, LOSSES

if TYPE_CHECKING:
    from hvd_qgenx.games.base import Game

COMPARED = ("sgda", "extra-gradient", "qgenx-da", "qgenx-de", "qgenx-optda")
"""Methods that are compared unless others are named."""


class _Games(click.Group):
    """Games as commands, those of plugins among them; the error for an unknown one suggests the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(GAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        return _command(cmd_name) if found is None and cmd_name in GAMES else found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in GAMES:
            raise click.UsageError(unknown("game", args[0], GAMES))
        return super().resolve_command(ctx, args)


def _command(name: str) -> click.Command:
    """Makes the command of a plugin's game, whose options are the arguments of what makes it.

    Raises:
        ConfigurationError: an argument has no default that can be an option, or the name of another option.
    """
    make = GAMES[name]
    given = [each for each in inspect.signature(make).parameters.values() if each.name != "seed"]

    def play(**values: Any) -> None:
        from hvd_qgenx.games.compare import with_arguments

        run_comparison(name, lambda: with_arguments(make, {each.name: values[each.name] for each in given}), values)

    play.__doc__ = inspect.getdoc(make)
    command = comparison_options(1000, COMPARED)(play)
    for each in reversed(given):
        command = click.option(*_option(name, each), default=each.default, show_default=True)(command)
    made = click.command(name)(command)
    names = [parameter.name for parameter in made.params]
    if twice := next((each.name for each in given if names.count(each.name) > 1), None):
        raise ConfigurationError(f"the game {name!r} of a plugin has an argument {twice!r}, as all games do; rename it")
    return made


def _option(game: str, argument: inspect.Parameter) -> tuple[str, str]:
    """Returns the flags and the name of the option of an argument."""
    if not isinstance(argument.default, int | float | str):
        raise ConfigurationError(
            f"the game {game!r} of a plugin has an argument {argument.name!r} that cannot be an option; "
            "give it a number, a text, or True or False by default"
        )
    flag = argument.name.replace("_", "-")
    return f"--{flag}/--no-{flag}" if isinstance(argument.default, bool) else f"--{flag}", argument.name


@click.group(cls=_Games)
def game() -> None:
    """Compare methods, compressors, numbers of workers and noises on a game with a known solution.

    \b
    Examples:
      hvd-qgenx game bilinear --noise none --noise absolute --workers 1 --workers 4 --seeds 5
      hvd-qgenx game quadratic --mu 0.1 --compressor none --compressor uniform:bits=3,norm=linf --workers 4
      hvd-qgenx game matrix --method extra-gradient --method past --iterations 10000
      horovodrun -np 4 -H localhost:4 hvd-qgenx game dirac-gan --penalty 0.3

    All combinations of the given values are played. Writes GAME.csv, GAME.png, summary.json and config.json.
    """


def coupling_options(function: F) -> F:
    """Adds the options that decide the matrix B; ``_coupled`` reads them."""
    for decorator in (
        click.option("--matrix", type=click.Path(), help="B, a .npy file with a square matrix."),
        click.option(
            "--singular-values",
            type=(Finite(0), Finite(0)),
            help="Least and largest singular value of B; the others lie evenly between.  [default: 0.3 1]",
        ),
        click.option(
            "--dimension", type=click.IntRange(1), help="Size of each player.  [default: 10, or the matrix's]"
        ),
    ):
        function = decorator(function)
    return function


def _coupled(dimension: int | None, singular_values: tuple[float, float] | None, matrix: str | None, mu: float) -> Any:
    from hvd_qgenx.games.bilinear import from_matrix, from_spectrum
    from hvd_qgenx.games.matrix import read_matrix

    if matrix is None:
        low, high = singular_values or (0.3, 1.0)
        return partial(from_spectrum, dimension or 10, low, high, mu=mu)
    if singular_values is not None:
        raise ConfigurationError("a matrix has singular values of its own; leave out --singular-values or --matrix")
    coupling = read_matrix(Path(matrix))
    if dimension not in (None, len(coupling)):
        shape = " x ".join(map(str, coupling.shape))
        raise ConfigurationError(f"{matrix} is {shape} but --dimension is {dimension}; leave one of them out")
    return partial(from_matrix, coupling, mu=mu)


@game.command()
@coupling_options
@comparison_options(1000, COMPARED)
def bilinear(**values: Any) -> None:
    """Coupled by any matrix B.

    min over theta, max over phi of <theta - theta*, B (phi - phi*)>. Starts at 0; the solution is
    random, of norm 1, and so are the singular vectors of B.
    """
    own = {key: values[key] for key in ("dimension", "singular_values", "matrix")}
    run_comparison("bilinear", lambda: _coupled(**own, mu=0.0), values)


@game.command()
@coupling_options
@click.option("--mu", type=Finite(0, min_open=True), default=0.3, show_default=True, help="Curvature.")
@comparison_options(1000, COMPARED)
def quadratic(**values: Any) -> None:
    """The bilinear game with curvature.

    Adds mu/2 |theta - theta*|^2 - mu/2 |phi - phi*|^2 to the bilinear game. Strongly monotone, and
    cocoercive with modulus mu / (mu^2 + ||B||^2).
    """
    own = {key: values[key] for key in ("dimension", "singular_values", "matrix", "mu")}
    run_comparison("quadratic", lambda: _coupled(**own), values)


@game.command()
@click.option("--actions", type=int, help="Actions of rock-paper-scissors; odd.  [default: 3]")
@click.option("--matrix", type=click.Path(), help="A .npy file with what x pays to y; any shape.")
@comparison_options(1000, COMPARED)
def matrix(**values: Any) -> None:
    """Rock-paper-scissors, or any matrix game.

    min over x, max over y of x^T P y, both probability vectors.
    """
    from hvd_qgenx.games.compare import always
    from hvd_qgenx.games.matrix import MatrixGame, read_matrix, rock_paper_scissors

    def make() -> Callable[[int], Game]:
        if values["matrix"] is None:
            return always(rock_paper_scissors(3 if values["actions"] is None else values["actions"]))
        if values["actions"] is not None:
            raise ConfigurationError("a matrix has numbers of actions of its own; leave out --actions or --matrix")
        return always(MatrixGame(read_matrix(Path(values["matrix"]))))

    run_comparison("matrix", make, values)


@game.command("stochastic-bilinear")
@click.option(
    "--dimension",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Coordinates of each player, and number of terms.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, help="Terms that a call of the oracle samples."
)
@comparison_options(10000, COMPARED)
def stochastic_bilinear(**values: Any) -> None:
    """A bilinear game that workers see in samples.

    The mean over n terms of theta_i phi_i + <a_i, theta> + <b_i, phi>; every call of the oracle
    samples terms. Source: Gidel et al. (ICLR 2019).
    """
    from hvd_qgenx.games.stochastic import StochasticBilinear

    make = partial(StochasticBilinear, values["dimension"], batch=values["batch"])
    run_comparison("stochastic-bilinear", lambda: make, values)


@game.command("dirac-gan")
@click.option("--loss", default="gan", show_default=True, help=f"One of {', '.join(LOSSES)}.")
@click.option("--penalty", type=Finite(0), default=0.0, show_default=True, help="Weight of the gradient penalty.")
@click.option(
    "--centre",
    type=Finite(0),
    default=0.0,
    show_default=True,
    help="Unpenalised norm: 0 for R1, 1 for WGAN-GP.",
)
@comparison_options(1000, COMPARED)
def dirac_gan(**values: Any) -> None:
    """The smallest GAN.

    A generator that makes one point, a linear discriminator, and data at 0. Source: Mescheder et
    al. (ICML 2018).
    """
    from hvd_qgenx.games.compare import always
    from hvd_qgenx.games.dirac import DiracGAN

    own = {key: values[key] for key in ("loss", "penalty", "centre")}
    run_comparison("dirac-gan", lambda: always(DiracGAN(**own)), values)
