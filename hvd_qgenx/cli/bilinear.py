"""hvd-qgenx bilinear"""

import csv
import io
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import compressors
from compressors import Compressor, parameters
from compressors.naming import unknown
from hvd_qgenx import exchange
from hvd_qgenx.cli import options
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.bilinear import METHODS, BilinearGame, Trajectory, play
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.transport import Transport, inprocess, launched, launcher_rank
from hvd_qgenx.transport.agreement import require_same, require_size, together

COLUMNS = ("method", "compressor", "workers", "seed", "t", "distance", "megabytes")


@click.command()
@click.option("--method", "methods", multiple=True, help=f"One of {', '.join(METHODS)}; repeatable.  [default: all]")
@click.option(
    "--compressor",
    "names",
    multiple=True,
    default=("none",),
    show_default=True,
    help=f"One of {', '.join(compressors.names())}; repeatable.",
)
@options.compressor_options
@click.option("--workers", type=click.IntRange(1), help="Ranks, in this process; under horovodrun, as started.")
@click.option("--exchange", "exchange_name", default="allgather", show_default=True, help=", ".join(exchange.NAMES))
@click.option("--iterations", type=click.IntRange(1), default=100, show_default=True)
@click.option("--dimension", type=click.IntRange(1), default=1, show_default=True, help="Of each player.")
@click.option("--start", type=(float, float), default=(2.0, 0.5), show_default=True, help="theta and phi.")
@click.option("--clip", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Bound of |phi|.")
@click.option("--unconstrained", is_flag=True, help="Leave phi free.")
@click.option("--noise", type=click.FloatRange(0), default=0.0, show_default=True, help="Of every worker's operator.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Step size.  [default: each method's own]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/bilinear-TIME]")
@options.expect_ranks
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else.")
def bilinear(**values: Any) -> None:
    """Play min over theta, max over phi of <theta, phi> and compare methods.

    \b
    Examples:
      hvd-qgenx bilinear
      hvd-qgenx bilinear --method extra-gradient --compressor none --compressor uniform --bits 3 --workers 4
      horovodrun -np 4 -H localhost:4 hvd-qgenx bilinear --noise 0.1 --compressor minmax --dimension 100

    The same call gives the same numbers with --workers N and with horovodrun -np N. The step sizes
    and the bound on phi are those of Gidel et al. (ICLR 2019). Writes bilinear.csv and bilinear.png.
    """
    with options.exit_codes() as session:
        session.transport = launched() if launcher_rank() is not None else None
        plays = _check(values)
        folder = RunFolder(values["out"] or Path(f"runs/bilinear-{datetime.now():%Y%m%d-%H%M%S}"))
        if session.transport is None:
            size = values["workers"] or 1
            require_size(size, values["expect_ranks"])
            folder.create(_settings(values))
            trajectories = inprocess.run(size, lambda transport: _play_all(transport, values, plays))[0]
            _publish(trajectories, values, size, folder)
        else:
            transport = session.transport
            require_size(transport.size, values["workers"])
            require_size(transport.size, values["expect_ranks"])
            require_same(transport, _settings(values))
            together(transport, "folder", lambda: folder.create(_settings(values)) if transport.rank == 0 else None)
            trajectories = _play_all(transport, values, plays)
            if transport.rank == 0:
                _publish(trajectories, values, transport.size, folder)


def _check(values: dict[str, Any]) -> list[tuple[str, str, Compressor]]:
    """All plays asked for, as (method, label of the compressor, compressor)."""
    for method in values["methods"]:
        if method not in METHODS:
            raise ConfigurationError(unknown("method", method, METHODS))
    given = options.take_compressor_parameters(values)
    try:
        known = {name: parameters.names(compressors.get(name)) for name in values["names"]}
        for key in given:
            if not any(key in own for own in known.values()):
                raise ConfigurationError(f"none of the compressors takes {key}")
        made = {
            name: compressors.make(name, seed=values["seed"], **{key: given[key] for key in given if key in own})
            for name, own in known.items()
        }
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    for compressor in made.values():
        exchange.get(values["exchange_name"]).check(compressor)
    return [(method, name, made[name]) for method in values["methods"] or METHODS for name in made]


def _settings(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in ("out", "as_json", "expect_ranks", "workers")}


def _play_all(
    transport: Transport, values: dict[str, Any], plays: list[tuple[str, str, Compressor]]
) -> dict[tuple[str, str], Trajectory]:
    game = BilinearGame(
        values["dimension"],
        values["start"],
        None if values["unconstrained"] else values["clip"],
        values["noise"],
        values["seed"],
    )
    how = exchange.make(values["exchange_name"], transport)
    return {
        (method, name): play(game, method, compressor, how, _iterations(values, transport, method, name), values["lr"])
        for method, name, compressor in plays
    }


def _iterations(values: dict[str, Any], transport: Transport, *names: str) -> Iterable[int]:
    """The numbers of the iterations; rank 0 shows how far they have come."""
    numbers: Iterable[int] = tqdm(
        range(values["iterations"]), ", ".join(names), leave=False, delay=1, disable=transport.rank != 0
    )
    return numbers


def _publish(
    trajectories: dict[tuple[str, str], Trajectory], values: dict[str, Any], workers: int, folder: RunFolder
) -> None:
    rows = [
        dict(zip(COLUMNS, (method, name, workers, values["seed"], t, distance, megabytes), strict=True))
        for (method, name), trajectory in trajectories.items()
        for t, (distance, megabytes) in enumerate(zip(trajectory.distances, trajectory.megabytes, strict=True))
    ]
    with (folder.path / "bilinear.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    from hvd_qgenx.games import figure  # matplotlib takes a while to import

    figure.draw(trajectories, values["dimension"], folder.path / "bilinear.png")
    click.echo(json.dumps(rows) if values["as_json"] else _table(trajectories, values["iterations"], folder))


def _table(trajectories: dict[tuple[str, str], Trajectory], iterations: int, folder: RunFolder) -> str:
    times = [t for t in (10, 50, 100, 500, 1000, 5000, 10000) if t < iterations] + [iterations]
    table = Table(title="distance to the solution")
    for heading in ("method", "compressor", *(f"t = {t}" for t in times), "MB sent"):
        table.add_column(heading, justify="left" if heading in ("method", "compressor") else "right")
    for (method, name), trajectory in trajectories.items():
        distances = [f"{trajectory.distances[t]:.4g}" for t in times]
        table.add_row(method, name, *distances, f"{trajectory.megabytes[-1]:.4g}")
    text = io.StringIO()
    Console(file=text, width=110).print(table)
    return f"{text.getvalue()}table and picture in {folder.path}"
