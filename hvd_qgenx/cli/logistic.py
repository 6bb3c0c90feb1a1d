"""hvd-qgenx logistic"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx.cli import options
from hvd_qgenx.cli.options import Finite
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.data.registry import SAMPLES
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.tasks.logistic.registry import AVERAGES, L2, LAWS, METHODS, SPLITS
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
    help=f"One of {', '.join(METHODS)}; or, where every worker has a point of its own, {', '.join(MIXINGS)}, "
    "also with +qg for quasi-global momentum; repeatable.",
)
@click.option(
    "--compressor",
    "compressors",
    multiple=True,
    default=("none",),
    show_default=True,
    help=f"What workers with their own points send: one of {options.COMPRESSORS}, with @STEP,... for consensus step "
    "sizes of its own; repeatable, and every method is run with each that fits.",
)
@options.gossip_options
@click.option(
    "--consensus-step-size",
    "consensus_step_sizes",
    multiple=True,
    default=("auto",),
    show_default=True,
    help="A number, LOW:HIGH:COUNT for the best of a geometric grid, or auto; repeatable.",
)
@click.option(
    "--gradients",
    type=click.Choice(("minibatch", "full")),
    default="minibatch",
    show_default=True,
    help="Of workers with their own points.",
)
@click.option(
    "--quasi-global",
    type=Finite(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Decay of the momentum of methods with +qg.",
)
@click.option("--overlap", is_flag=True, help="Messages of choco, beer and motef travel while gradients are computed.")
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
@click.option(
    "--lr",
    "lrs",
    type=Finite(0, min_open=True),
    multiple=True,
    help="Step size; of several, every method gets its best.  [default: what theory allows each method]",
)
@click.option(
    "--lr-law",
    default=LAWS[0],
    show_default=True,
    help=f"One of {', '.join(LAWS)}: lr, lr / (l2 (k + tau)), lr / (1 + lr l2 k), lr c^epoch.",
)
@click.option("--tau", type=Finite(0), default=1.0, show_default=True, help="tau of decay and of averages.")
@click.option("--lr-factor", type=Finite(0, 1, min_open=True), default=0.9, show_default=True, help="c of epoch-decay.")
@click.option(
    "--average",
    default=AVERAGES[0],
    show_default=True,
    help=f"Which point counts: {', '.join(AVERAGES)}; others than final are means with these weights.",
)
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
      hvd-qgenx logistic --workers 9 --split sorted --method dpsgd --method choco --method lead \\
          --compressor topk:ratio=.1 --compressor minmax:bits=4 --compressor none --gradients full

    The second is the experiment of the IntSGD paper: 12 workers, the paper's regularizer, batch size, number of
    iterations and step sizes. The last compares decentralized methods: workers hear from their neighbours alone. The
    same call gives the same numbers in one process and under horovodrun. Writes logistic.csv, logistic.png,
    summary.json and config.json.
    """
    from tqdm import tqdm

    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.tasks.logistic.results import Results, Run

    with exit_codes() as session:
        transport = session.initialize(values["expect_ranks"], values["expect_hosts"])
        require_same(transport, {name: value for name, value in values.items() if name not in OUTSIDE})
        experiment, methods = _experiment(values, transport)
        folder = RunFolder(values["out"] or Path(f"runs/logistic-{datetime.now():%Y%m%d-%H%M%S}"))
        _create(folder, values, transport)
        if session.is_primary and not values["as_json"]:
            click.echo(experiment.description(), nl=False)
        seeds = range(values["seed"], values["seed"] + values["seeds"])
        runs = [Run(method, seed) for method in methods for seed in seeds]
        progress = tqdm(methods, "methods", leave=False, delay=1, disable=None if session.is_primary else True)
        records = [record for method in progress for record in experiment.best(method, seeds)]
        if session.is_primary:
            _publish(Results(experiment, runs, records), folder, values["as_json"])


def _experiment(values: dict[str, Any], transport: Transport) -> tuple[Experiment, list[str]]:
    """Reads the samples, splits them, and finds the optimum; returns the names of the methods, too."""
    from hvd_qgenx.data import samples
    from hvd_qgenx.gossip.registry import make as topology
    from hvd_qgenx.tasks.logistic import asked
    from hvd_qgenx.tasks.logistic.estimators import Sampling
    from hvd_qgenx.tasks.logistic.experiment import Experiment
    from hvd_qgenx.tasks.logistic.optimum import find_optimum
    from hvd_qgenx.tasks.logistic.problem import Problem
    from hvd_qgenx.tasks.logistic.schedule import Schedule
    from hvd_qgenx.tasks.logistic.shares import make_shares
    from hvd_qgenx.tasks.logistic.workers import Workers
    from hvd_qgenx.transport.cores import one_thread

    workers = Workers(values["workers"] or max(WORKERS, transport.size), transport)
    schedule = Schedule(values["lr_law"], values["average"], values["tau"], values["lr_factor"])
    if schedule.law == "decay" and not schedule.tau:
        raise ConfigurationError("--lr-law decay needs --tau above 0: the first step is lr / (l2 tau)")
    central, decentralized = asked.read(values["methods"], values["compressors"], values["consensus_step_sizes"])
    names = dict.fromkeys(values["topologies"] if decentralized else ())
    topologies = [topology(name, workers.count, seed=values["seed"]) for name in names]
    asked.check(decentralized, topologies, values["overlap"])
    found = samples.load(values["data"], values["data_dir"], values["download"], transport)
    l2 = values["l2"] or L2.get(values["data"], 1 / len(found))
    sampling = Sampling.usual(len(found), workers.count, values["batch_size"])
    shares = make_shares(values["split"], found, workers.count, values["seed"], values["dirichlet_alpha"])
    problem = Problem(found, shares, l2, normalize=not values["raw"])
    settings = asked.Settings(
        values["memory"], values["quasi_global"], values["overlap"], values["drop"], values["gradients"] == "full"
    )
    with one_thread():
        apart = asked.make(decentralized, topologies, settings, problem.dimension)
        optimum = find_optimum(problem)
    lrs = values["lrs"] or None
    experiment = Experiment(problem, optimum, workers, sampling, values["iterations"], lrs, apart, schedule)
    return experiment, [*central, *apart]


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
