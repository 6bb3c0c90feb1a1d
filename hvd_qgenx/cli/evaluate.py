"""hvd-qgenx evaluate"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hvd_qgenx.cli import options
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.scores.registry import EXTRACTORS
from hvd_qgenx.training.config import DEVICES, WEIGHTS
from hvd_qgenx.transport.environment import DATA


@click.command("evaluate")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--weights",
    "score_weights",
    help=f"The weights to score, any of {', '.join(WEIGHTS)}: the last ones, or averages.  [default: all there are]",
)
@click.option(
    "--features", help=f"On what images are scored: one of {', '.join(EXTRACTORS)}.  [default: the run's own]"
)
@click.option("--inception-weights", help="File of Inception's weights.  [default: the run's own]")
@click.option("--samples", "score_samples", type=int, help="Images to generate.  [default: the run's own]")
@click.option(
    "--importance-samples",
    type=int,
    help="Codes of every test image for an autoencoder's importance-weighted bound.  [default: the run's own]",
)
@click.option(
    "--frechet-samples",
    type=int,
    help="Images that an autoencoder decodes for their Fréchet distance.  [default: the run's own]",
)
@click.option("--data-dir", help=f"Folder of data sets.  [default: the run's own, or {DATA} where that is not there]")
@click.option("--skip-damaged", is_flag=True, default=None, help="Leave out images whose files cannot be read.")
@click.option(
    "--changed-data", is_flag=True, default=None, help="Score runs whose image files have changed since, too."
)
@click.option("--download", is_flag=True, help="Download missing data and weights, on one rank of each host.")
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
    """Score runs, finished or interrupted, at their last checkpoints.

    Generators of GANs get the distance of their images from real ones, classifiers loss and accuracy on the test set,
    autoencoders bounds on the likelihood of test images.

    \b
    Examples:
      hvd-qgenx evaluate runs/cifar
      horovodrun -np 3 -H localhost:3 hvd-qgenx evaluate runs/cifar --weights ema --samples 50000
      hvd-qgenx evaluate runs/sweep/* --samples 10000 --json

    Ranks share the work; the scores do not depend on how many there are. Lines are added to RUN/evaluation.csv.
    """
    from hvd_qgenx.tasks.evaluation import score_runs
    from hvd_qgenx.transport.cores import share_cores

    with exit_codes() as session:
        transport = session.initialize(expect_ranks, expect_hosts)
        share_cores(transport)
        given = {name: value for name, value in asked.items() if value is not None}
        rows = score_runs(transport, runs, given, download)
        if transport.rank == 0:
            click.echo(json.dumps(rows, indent=2) if as_json else _table(rows), nl=as_json)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Runs and weights below, scores beside each other."""
    from rich.table import Table

    from hvd_qgenx.tables import drawn

    names = list(dict.fromkeys(row["score"] for row in rows))
    lines: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        lines.setdefault((row["run"], str(row["update"]), row["weights"]), {})[row["score"]] = row["value"]
    table = Table("run", "update", "weights", *names)
    for line, found in lines.items():
        table.add_row(*line, *(f"{found[name]:.4g}" if name in found else "" for name in names))
    return drawn(table, 110)
