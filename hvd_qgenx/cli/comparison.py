"""Shared by hvd-qgenx game and hvd-qgenx bilinear: options of a comparison, and the comparison."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import compressors
from compressors import text
from compressors.registry import COMPRESSORS
from hvd_qgenx import plugins
from hvd_qgenx.cli import options
from hvd_qgenx.cli.options import F, Finite
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.cli.settings import compressor_options, take_compressor_parameters
from hvd_qgenx.errors import ConfigurationError, configuration_errors
from hvd_qgenx.exchange.registry import NAMES
from hvd_qgenx.games.registry import GAMES, METHODS, NOISES, make_noise
from hvd_qgenx.transport import launcher_rank
from hvd_qgenx.transport.agreement import on_all_ranks, require_same, require_size

if TYPE_CHECKING:
    from compressors import Compressor
    from hvd_qgenx.games.base import Game
    from hvd_qgenx.games.compare import Play
    from hvd_qgenx.games.play import Record
    from hvd_qgenx.runs import RunFolder


OUTSIDE = ("out", "as_json", "against", "expect_ranks", "expect_hosts", "workers", "jobs")
"""Values that do not change the results for a number of workers."""


def comparison_options(iterations: int, methods: Iterable[str]) -> Callable[[F], F]:
    """Adds the options of every comparison, with these defaults."""
    decorators = [
        click.option(
            "--method",
            "methods",
            multiple=True,
            default=tuple(methods),
            show_default=True,
            help=f"One of {', '.join(METHODS)}; repeatable.",
        ),
        click.option(
            "--compressor",
            "compressor_texts",
            multiple=True,
            default=("none",),
            show_default=True,
            help=f"One of {options.COMPRESSORS}; repeatable.",
        ),
        compressor_options,
        click.option(
            "--workers",
            type=click.IntRange(1),
            multiple=True,
            help="Ranks, in this process; repeatable. Under horovodrun, as started.  [default: 1]",
        ),
        click.option(
            "--noise",
            "noises",
            multiple=True,
            default=("none",),
            show_default=True,
            help=f"Noise of every worker's operator: one of {', '.join(NOISES)}, or NAME:PARAMETER=VALUE, "
            "or a standard deviation for every coordinate; repeatable.",
        ),
        click.option("--seed", type=int, default=0, show_default=True, help="First seed."),
        click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Number of seeds."),
        click.option("--iterations", type=click.IntRange(1), default=iterations, show_default=True),
        click.option(
            "--against",
            metavar="METHOD",
            help="One of the methods: show what part of its bytes the others need for the gap that it ends with.",
        ),
        click.option("--lr", type=Finite(0, min_open=True), help="Step size.  [default: each method's own]"),
        click.option(
            "--exchange", "exchange_name", default="allgather", show_default=True, help=f"One of {', '.join(NAMES)}."
        ),
        click.option(
            "--jobs", type=click.IntRange(1), help="Processes that play at once.  [default: by cores and work]"
        ),
        click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/GAME-TIME]"),
        options.launcher_options,
        click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else."),
    ]

    def add(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return add


def run_comparison(
    name: str,
    make: Callable[[], Callable[[int], Game]],
    values: dict[str, Any],
    steps: Mapping[str, float] | None = None,
) -> None:
    """Plays all combinations and writes NAME.csv, NAME.png, summary.json and config.json.

    Args:
        name: name of the game.
        make: checks the game's options; returns a function that makes the game for a seed.
        values: values of ``comparison_options``; others are only recorded in config.json.
        steps: step sizes of this game by method; for other methods their own.
    """
    from tqdm import tqdm

    from hvd_qgenx.games.compare import compare, compare_over
    from hvd_qgenx.runs import RunFolder

    with exit_codes() as session:
        transport = None
        if launcher_rank() is not None:
            transport = session.initialize(values["expect_ranks"], values["expect_hosts"])
        plays = _plays(make(), values, steps or {}, transport.size if transport else None)
        settings = {key: value for key, value in values.items() if key not in OUTSIDE}
        origins = [GAMES.origin(name), *map(COMPRESSORS.origin, values["compressor_texts"])]
        settings["plugins"] = plugins.record(origins)
        folder = RunFolder(values["out"] or Path(f"runs/{name}-{datetime.now():%Y%m%d-%H%M%S}"))
        if transport is None:
            folder.create(settings)
            records = compare(plays, values["jobs"])
        else:
            require_same(transport, settings)
            on_all_ranks(transport, "folder", lambda: folder.create(settings) if transport.rank == 0 else None)
            records = compare_over(transport, plays)
        leads = transport is None or transport.rank == 0
        with closing(records):  # ends its processes
            found = list(tqdm(records, "plays", len(plays), leave=False, delay=1, disable=None if leads else True))
        if leads:
            _publish(name, plays, found, folder, values)


def _plays(
    make_game: Callable[[int], Game], values: dict[str, Any], steps: Mapping[str, float], ranks: int | None
) -> list[Play]:
    """Returns all plays; ``ranks`` is the number of ranks that a launcher started."""
    from hvd_qgenx import exchange
    from hvd_qgenx.games.compare import Play

    make_game(values["seed"])  # a game that cannot be made raises here
    for method in values["methods"]:
        METHODS[method]
    if values["against"] not in (None, *values["methods"]):
        raise ConfigurationError(f"--against {values['against']} is not played; add --method {values['against']}")
    workers = tuple(dict.fromkeys(values["workers"])) or (ranks or 1,)
    for size in workers:
        require_size(ranks or size, size)
        require_size(size, values["expect_ranks"])
    made = _compressors(values)
    for compressor in made.values():
        exchange.get(values["exchange_name"]).check(compressor)
    noises = {text: make_noise(text) for text in values["noises"]}
    return [
        Play(
            make_game,
            method,
            compressor,
            noise_,
            size,
            seed,
            values["iterations"],
            values["exchange_name"],
            values["lr"] or steps.get(method),
        )
        for method in dict.fromkeys(values["methods"])
        for compressor in made.items()
        for size in workers
        for noise_ in noises.items()
        for seed in range(values["seed"], values["seed"] + values["seeds"])
    ]


def _compressors(values: dict[str, Any]) -> dict[str, Compressor]:
    """Makes the compressors; parameters given as options go to every compressor that has them."""
    given = take_compressor_parameters(values)
    made, taken = {}, set()
    with configuration_errors():
        for written in values["compressor_texts"]:
            name, fields, own = text.read(written)
            taken |= given.keys() & fields.keys()
            made[written] = compressors.make(name, **{key: given[key] for key in given if key in fields} | own)
    for key in given:
        if key not in taken:
            raise ConfigurationError(f"none of the compressors takes {key}")
    return made


def _publish(name: str, plays: list[Play], records: list[Record], folder: RunFolder, values: Mapping[str, Any]) -> None:
    from hvd_qgenx.games import figure
    from hvd_qgenx.games.results import Results
    from hvd_qgenx.runs.folder import write_json

    game = plays[0].game(plays[0].seed)
    results = Results(name, game.gap_name, plays, records, values["against"])
    results.write_csv(folder.path / f"{name}.csv")
    write_json(folder.summary, results.summary())
    figure.draw(results, game, folder.path / f"{name}.png")
    click.echo(
        json.dumps(results.rows())
        if values["as_json"]
        else f"{results.table()}table, summary and picture in {folder.path}"
    )
