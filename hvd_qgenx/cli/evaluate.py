"""hvd-qgenx evaluate"""

import csv
import functools
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hvd_qgenx import data
from hvd_qgenx.cli import options
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.runs.folder import naming
from hvd_qgenx.scores import EXTRACTORS, Scorer, samples_note
from hvd_qgenx.tasks.gan.saved import SavedRun
from hvd_qgenx.tasks.gan.scoring import make_scorer, score
from hvd_qgenx.tasks.gan.settings import GanConfig
from hvd_qgenx.training.averages import WEIGHTS
from hvd_qgenx.training.launch import PLACES
from hvd_qgenx.training.settings import DEVICES, Setting, values
from hvd_qgenx.training.trainer import choose_device
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, on_all_ranks, require_same
from hvd_qgenx.transport.cores import share_cores

COLUMNS = ("update", "samples", "score", "weights", "value", "bias")
SHARED = attrgetter(
    *("dataset", "data_dir", "image_size", "augmentation", "features", "inception_weights", "score_samples")
)
"""Of a configuration: what its scorer depends on."""

Row = dict[str, Any]
"""Values by ``COLUMNS``, and the run."""


@click.command("evaluate")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--weights",
    "score_weights",
    default=",".join(WEIGHTS),
    show_default=True,
    help="Whose images are scored: the last weights, or averages.",
)
@click.option("--features", help=f"On what: one of {', '.join(EXTRACTORS)}.  [default: the run's own]")
@click.option("--inception-weights", help="File of Inception's weights.  [default: the run's own]")
@click.option("--samples", "score_samples", type=int, help="Images to generate.  [default: the run's own]")
@click.option(
    "--data-dir", envvar="HVD_QGENX_DATA", show_envvar=True, help="Folder of data sets.  [default: the run's own]"
)
@click.option("--download", is_flag=True, help="Fetch missing data and weights; one rank of every host does.")
@click.option("--device", default="auto", show_default=True, help=f"One of {', '.join(DEVICES)}.")
@options.launcher_options
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON, and nothing else, on standard output.")
def evaluate_command(
    runs: Sequence[Path],
    download: bool,
    expect_ranks: int | None,
    expect_hosts: int | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Score the generators of runs, finished or interrupted, at their last checkpoints.

    \b
    Examples:
      hvd-qgenx evaluate runs/cifar
      horovodrun -np 3 -H localhost:3 hvd-qgenx evaluate runs/cifar --weights ema --samples 50000
      hvd-qgenx evaluate runs/sweep/* --inception-weights inception.pth --json

    Ranks share the work; the scores do not depend on how many there are. Lines are added to RUN/evaluation.csv.
    """
    with options.exit_codes() as session:
        transport = session.initialize(expect_ranks, expect_hosts)
        share_cores(transport)
        rows = score_runs(transport, runs, asked, download)
        if transport.rank == 0:
            click.echo(json.dumps(rows, indent=2) if as_json else _table(rows), nl=as_json)


def score_runs(transport: Transport, runs: Sequence[Path], asked: Mapping[str, Any], download: bool) -> list[Row]:
    """Scores runs and notes it in their folders, which rank 0 alone needs. Collective; the same rows on all ranks.

    Args:
        transport: of the ranks.
        runs: folders.
        asked: settings by name, in place of the runs' own; None: it is left.
        download: fetch what is missing.
    """
    require_same(transport, {**asked, **dict.fromkeys(PLACES), "runs": runs, "download": download})
    found = {run: from_rank_0(transport, "run", functools.partial(SavedRun.read, run)) for run in runs}
    wanted = on_all_ranks(transport, "settings", lambda: {run: _wanted(found[run].config, asked) for run in runs})
    scorers = _scorers(wanted, transport, download)
    return [row for run in found for row in _score(run, found[run], wanted[run], scorers[run])]


def _wanted(config: GanConfig, asked: Mapping[str, Any]) -> GanConfig:
    """How a run is to be scored: as it was itself, but for what is asked for; a file of weights asks for its use."""
    implied = {"features": "inception"} if asked.get("inception_weights") else {}
    given = {**implied, **{name: value for name, value in asked.items() if value is not None}}
    wanted = replace(config, **values({name: Setting(value, "command line") for name, value in given.items()}))
    wanted.check(ranks=1)
    return wanted


def _scorers(wanted: dict[Path, GanConfig], transport: Transport, download: bool) -> dict[Path, Scorer]:
    """One for every run, ready; those that want the same share it."""
    made: dict[tuple[Any, ...], Scorer] = {}
    scorers = {}
    for run, config in wanted.items():
        key = SHARED(config)
        if key not in made:
            made[key] = _scorer(config, transport, download)
        scorers[run] = made[key]
    for scorer in made.values():
        scorer.prepare()
        note = samples_note(scorer)
        if note and transport.rank == 0:
            click.echo(f"Warning: {note}", err=True)
    return scorers


def _scorer(config: GanConfig, transport: Transport, download: bool) -> Scorer:
    images = data.load(config.dataset, Path(config.data_dir), download, transport, config.image_size)
    return make_scorer(config, images, transport, choose_device(config.device, transport), download)


def _score(run: Path, saved: SavedRun, config: GanConfig, scorer: Scorer) -> list[Row]:
    """Scores one run; rank 0 notes them in its folder."""
    generators = {weights: saved.generator(weights, scorer.extractor.device) for weights in config.scored_weights}
    found = score(scorer, generators, config.latent, saved.classes, config.seed)
    rows = [
        {
            "update": saved.updates,
            "samples": scorer.samples,
            "score": name,
            "weights": weights,
            "value": found[f"{name}/{weights}"],
            "bias": scorer.bias.get(name),
        }
        for name in scorer.names
        for weights in generators
    ]
    if scorer.transport.rank == 0:
        _append(RunFolder(run).evaluation, rows)
    return [{"run": str(run), **row} for row in rows]


def _append(path: Path, rows: Sequence[Row]) -> None:
    with naming(path), path.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not file.tell():
            table.writeheader()
        table.writerows(rows)


def _table(rows: Sequence[Row]) -> str:
    """Runs and weights below, scores beside each other."""
    names = list(dict.fromkeys(row["score"] for row in rows))
    lines: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        lines.setdefault((row["run"], str(row["update"]), row["weights"]), {})[row["score"]] = row["value"]
    table = Table("run", "update", "weights", *names)
    for line, found in lines.items():
        table.add_row(*line, *(f"{found[name]:.4g}" if name in found else "" for name in names))
    text = io.StringIO()
    Console(file=text, width=110).print(table)
    return text.getvalue()
