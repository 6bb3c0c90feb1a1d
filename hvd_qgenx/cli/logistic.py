"""hvd-qgenx logistic"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx.cli import options
from hvd_qgenx.cli.comparison import Finite
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.data.registry import SAMPLES
from hvd_qgenx.tasks.logistic.registry import L2, METHODS, SPLITS
from hvd_qgenx.transport.agreement import on_all_ranks, require_same
from hvd_qgenx.transport.environment import DATA

if TYPE_CHECKING:
    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.tasks.logistic.experiment import Experiment
    from hvd_qgenx.tasks.logistic.results import Results
    from hvd_qgenx.transport import Transport

WORKERS = 12
"""Workers of the IntSGD paper."""
OUTSIDE = ("out", "as_json", "expect_ranks", "expect_hosts", "data_dir", "download")
"""Values that do not change the results."""


@click.command()
@click.option(
    "--data",
    default=next(iter(SAMPLES)),
    show_default=True,
    metavar="NAME|FILE",
    help=f"{', '.join(SAMPLES)}, or a LIBSVM file with two labels. The first comes with scikit-learn.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default="data",
    envvar=DATA,
    show_default=True,
    show_envvar=True,
    help="Folder of the other data sets; they are in libsvm/ there.",
)
@click.option("--download", is_flag=True, help="Download a missing data set, on one rank of each host.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help=f"Workers that share the samples; under horovodrun they are dealt to the ranks.  [default: {WORKERS}]",
)
@click.option("--split", default=SPLITS[0], show_default=True, help=f"Who has which samples: {', '.join(SPLITS)}.")
@click.option(
    "--dirichlet-alpha",
    type=Finite(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Concentration of the split dirichlet; the smaller, the more the labels of workers differ.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=tuple(METHODS),
    show_default="all",
    help=f"One of {', '.join(METHODS)}; repeatable.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="First seed; decides the split, too.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Number of seeds.")
@click.option("--iterations", type=click.IntRange(1), default=5020, show_default=True)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Samples that each worker draws in an iteration.  [default: a twentieth of what it has]",
)
@click.option(
    "--l2", type=Finite(0, min_open=True), help="Weight of the regularizer.  [default: the paper's, or 1 / samples]"
)
@click.option("--lr", type=Finite(0, min_open=True), help="Step size.  [default: what theory allows each method]")
@click.option("--raw", is_flag=True, help="Leave samples as they are; otherwise each is scaled to norm 1.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/logistic-TIME]")
@options.launcher_options
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else.")
def logistic(**values: Any) -> None:
    """Compare methods on L2-regularized logistic regression, whose optimum is known.

    \b
    Examples:
      hvd-qgenx logistic
      hvd-qgenx logistic --data a5a --download --seeds 20
      hvd-qgenx logistic --data my.libsvm --workers 4 --split sorted --method l-svrg --iterations 2000
      horovodrun -np 4 -H localhost:4 hvd-qgenx logistic --data mushrooms

    The second is the experiment of the IntSGD paper: 12 workers, the paper's regularizer, batch size, number of
    iterations and step sizes. The same call gives the same numbers in one process and under horovodrun. Writes
    logistic.csv, logistic.png, summary.json and config.json.
    """
    from tqdm import tqdm

    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.tasks.logistic.results import Results, Run

    with exit_codes() as session:
        transport = session.initialize(values["expect_ranks"], values["expect_hosts"])
        require_same(transport, {name: value for name, value in values.items() if name not in OUTSIDE})
        methods = list(dict.fromkeys(values["methods"]))
        for method in methods:
            METHODS[method]
        experiment = _experiment(values, transport)
        folder = RunFolder(values["out"] or Path(f"runs/logistic-{datetime.now():%Y%m%d-%H%M%S}"))
        _create(folder, values, transport)
        if session.is_primary and not values["as_json"]:
            click.echo(experiment.description(), nl=False)
        seeds = range(values["seed"], values["seed"] + values["seeds"])
        runs = [Run(method, seed) for method in methods for seed in seeds]
        progress = tqdm(runs, "runs", leave=False, delay=1, disable=None if session.is_primary else True)
        records = [experiment.run(*run) for run in progress]
        if session.is_primary:
            _publish(Results(experiment, runs, records), folder, values["as_json"])


def _experiment(values: dict[str, Any], transport: Transport) -> Experiment:
    """Reads the samples, splits them, and finds the optimum."""
    from hvd_qgenx.data import samples
    from hvd_qgenx.tasks.logistic.estimators import Sampling
    from hvd_qgenx.tasks.logistic.experiment import Experiment
    from hvd_qgenx.tasks.logistic.optimum import find_optimum
    from hvd_qgenx.tasks.logistic.problem import Problem
    from hvd_qgenx.tasks.logistic.shares import make_shares
    from hvd_qgenx.tasks.logistic.workers import Workers
    from hvd_qgenx.transport.cores import one_thread

    workers = Workers(values["workers"] or max(WORKERS, transport.size), transport)
    found = samples.load(values["data"], values["data_dir"], values["download"], transport)
    l2 = values["l2"] or L2.get(values["data"], 1 / len(found))
    sampling = Sampling.usual(len(found), workers.count, values["batch_size"])
    shares = make_shares(values["split"], found, workers.count, values["seed"], values["dirichlet_alpha"])
    problem = Problem(found, shares, l2, normalize=not values["raw"])
    with one_thread():
        return Experiment(problem, find_optimum(problem), workers, sampling, values["iterations"], values["lr"])


def _create(folder: RunFolder, values: dict[str, Any], transport: Transport) -> None:
    config = {name: value for name, value in values.items() if name not in OUTSIDE}
    on_all_ranks(transport, "folder", lambda: folder.create(config) if transport.rank == 0 else None)


def _publish(results: Results, folder: RunFolder, as_json: bool) -> None:
    from hvd_qgenx.runs.folder import write_json
    from hvd_qgenx.tasks.logistic import figure

    results.write_csv(folder.path / "logistic.csv")
    write_json(folder.summary, results.summary())
    figure.draw(results, folder.path / "logistic.png")
    text = json.dumps(results.rows()) if as_json else f"{results.table()}table, summary and picture in {folder.path}"
    click.echo(text)
