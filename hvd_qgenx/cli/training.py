"""Builds the command that trains a task: options from its declarations, the rest shared by all tasks."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hvd_qgenx.cli import options
from hvd_qgenx.cli.sections import option
from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.cli.settings import FIRST, TaskCommand, setting_options
from hvd_qgenx.training import presets
from hvd_qgenx.training.asked import Setting, Settings, merge
from hvd_qgenx.training.config import RUN, Config
from hvd_qgenx.training.settings import known

if TYPE_CHECKING:
    from hvd_qgenx.training.launch import Plan, Stored
    from hvd_qgenx.training.run import Run
    from hvd_qgenx.transport import Transport


ORIGINS = {ParameterSource.ENVIRONMENT: "environment", ParameterSource.COMMANDLINE: "command line"}


def training_command(task: type[Config]) -> Callable[[Callable[[], None]], click.Command]:
    """Makes a function, whose docstring is the help, the command that trains a task."""

    def make(function: Callable[[], None]) -> click.Command:
        def run(**values: Any) -> None:
            _run(task, values)

        run.__doc__, run.__name__ = function.__doc__, function.__name__
        command = run
        for decorator in reversed([*_preset_options(task), *setting_options(task), *_run_options(task)]):
            command = decorator(command)
        return click.command(task.task, cls=TaskCommand, task=task)(command)

    return make


def _preset_options(task: type[Config]) -> Iterator[Any]:
    def list_presets(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if wanted:
            width = max(map(len, presets.names(task)), default=0)
            for name in presets.names(task):
                click.echo(f"{name:{width}}  {presets.describe(task, name)}")
            context.exit()

    yield option(
        "--preset",
        "One of --list-presets, or a .toml file, to take settings from; options win over it.",
        FIRST,
        metavar="NAME",
    )
    yield option(
        "--list-presets",
        "List the presets and exit.",
        FIRST,
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=list_presets,
    )
    yield option("--show-config", "Print every setting with its origin and exit.", FIRST, is_flag=True)
    yield option(
        "--download", "Download missing data and weights, on one rank of each host.", task.sections[0], is_flag=True
    )


def _run_options(task: type[Config]) -> Iterator[Any]:
    path = click.Path(path_type=Path)
    yield option("--out", f"Folder of the run.  [default: runs/{task.task}-TIME]", RUN, type=path)
    yield option("--resume", "Continue the run in this folder.", RUN, type=path, metavar="RUN")
    yield option(
        ("--continue", "continues"),
        "Continue the run in --out if it has a checkpoint; start it otherwise.",
        RUN,
        is_flag=True,
    )
    yield option(
        "--ranks-may-change",
        "Let a run that is resumed have another number of ranks; what is a rank's own is lost or begins anew.",
        RUN,
        is_flag=True,
    )
    yield option("--elastic", "Continue when ranks are lost or join; under horovodrun --min-np.", RUN, is_flag=True)
    yield option(
        "--commit-every",
        "Updates between two states kept for --elastic; a lost rank costs the updates since the last.",
        RUN,
        type=click.IntRange(1),
        default=10,
        show_default=True,
    )
    yield option(
        "--local-ranks",
        "Train this many ranks as threads of this process, without a launcher.",
        RUN,
        type=click.IntRange(1),
    )
    yield option("--label", "Name of the link between ranks in reports, to tell runs apart.", RUN, metavar="TEXT")
    yield options.launcher_options
    yield option(
        ("--json", "as_json"), "Print the summary as JSON, and nothing else, on standard output.", RUN, is_flag=True
    )


def _run(task: type[Config], values: dict[str, Any]) -> None:
    """Trains, or prints the configuration."""
    from hvd_qgenx.training.elastic import ElasticRun
    from hvd_qgenx.transport import launched_elastic

    context = click.get_current_context()
    expected = values["expect_ranks"], values["expect_hosts"]
    with exit_codes() as session:
        if values["show_config"]:
            transport = session.initialize(*expected)
            plan = _plan(context, task, transport)
            if transport.rank == 0:
                click.echo(_show(plan, values["preset"], values["as_json"]))
            return

        def begin(
            transport: "Transport | None" = None, folder: Path | None = None, stored: "Stored | None" = None
        ) -> "Run":
            ranks, hosts = expected if stored is None else (None, None)
            transport = session.initialize(ranks, hosts, transport)
            return _begin(context, task, transport, folder, stored)

        if values["elastic"]:
            run, summary = launched_elastic(ElasticRun(begin, values["commit_every"]).train)
        elif values["local_ranks"]:
            run, summary = _train_threads(context, task, values["local_ranks"])
        else:
            run = begin()
            summary = run.train()
        if run.writes:
            click.echo(json.dumps(summary, indent=2) if values["as_json"] else _describe(summary, run))


def _train_threads(context: click.Context, task: type[Config], ranks: int) -> "tuple[Run, dict[str, Any]]":
    """Trains with ranks that are threads of this process; returns the run and the summary of rank 0."""
    from hvd_qgenx.training import stopping
    from hvd_qgenx.transport import inprocess
    from hvd_qgenx.transport.startup import check_start

    require_alone()

    def train(transport: "Transport") -> "tuple[Run, dict[str, Any]]":
        check_start(transport, context.params["expect_ranks"], context.params["expect_hosts"])
        run = _begin(context, task, transport)
        return run, run.train()

    with stopping.noting():
        return inprocess.run(ranks, train)[0]


def _plan(
    context: click.Context,
    task: type[Config],
    transport: "Transport",
    folder: Path | None = None,
    stored: "Stored | None" = None,
) -> "Plan":
    """Decides what is trained; ``folder`` and ``stored`` as ``ElasticRun`` gives them."""
    from hvd_qgenx.training import launch
    from hvd_qgenx.transport.agreement import from_rank_0

    values = context.params
    folder = folder or values["resume"]
    if values["continues"]:
        folder = folder or from_rank_0(transport, "continue", lambda: launch.interrupted(values["out"]))
    resize = values["elastic"] or values["ranks_may_change"]
    return launch.plan(transport, task, lambda: asked(context, task), folder, stored, resize=resize)


def _begin(
    context: click.Context,
    task: type[Config],
    transport: "Transport",
    folder: Path | None = None,
    stored: "Stored | None" = None,
) -> "Run":
    """Makes the run; ``folder`` and ``stored`` as ``ElasticRun`` gives them."""
    from hvd_qgenx.training import launch
    from hvd_qgenx.transport.cores import share_cores

    values = context.params
    share_cores(transport)
    path = None if stored else values["resume"] or (values["out"] if values["continues"] else None)
    with launch.held(transport, path, anew=not values["resume"]) if path else nullcontext():
        plan = _plan(context, task, transport, folder, stored)
        out = values["out"] or Path(f"runs/{plan.config.task}-{datetime.now():%Y%m%d-%H%M%S}")
        notes = {"preset": values["preset"], "link": values["label"]}
        run = launch.start(transport, plan, out, notes, values["download"])
    if run.writes:
        click.echo("\n".join(_remarks(run)), err=True)
    return run


def asked(context: click.Context, task: type[Config]) -> Settings:
    """Returns the settings of a command line: preset, then environment, then options; the last of them wins.

    Raises:
        ConfigurationError: there is no such preset, or it is none.
    """
    preset, resume = context.params["preset"], context.params["resume"]
    layers = [presets.load(task, preset).merged()] if preset else []
    if not resume:  # which keeps what it had
        layers.append(_given(context, task, ParameterSource.ENVIRONMENT))
    return merge(task, [*layers, _given(context, task, ParameterSource.COMMANDLINE)])


def _given(context: click.Context, task: type[Config], source: ParameterSource) -> Settings:
    return {
        name: Setting(value, ORIGINS[source])
        for name, value in context.params.items()
        if name in known(task) and context.get_parameter_source(name) == source
    }


def _show(plan: "Plan", preset: str | None, as_json: bool) -> str:
    """Returns all settings with their origins, as a table or as JSON."""
    from rich.table import Table

    from hvd_qgenx.tables import drawn

    settings = plan.explain()
    if as_json:
        return json.dumps({name: dataclasses.asdict(setting) for name, setting in settings.items()}, indent=2)
    lineage = presets.load(type(plan.config), preset).lineage() if preset else []
    table = Table("setting", "value", "from", caption=" extends ".join(each.name for each in lineage))
    for name, setting in settings.items():
        table.add_row(name, str(setting.value), setting.origin)
    return drawn(table, 110).rstrip("\n")


def _remarks(run: "Run") -> Iterator[str]:
    """Lines to print before training."""
    config, transport = run.config, run.trainer.transport
    given = {**config.compressor_parameters, "coding": config.coding}
    parameters = ", ".join(f"{name}={value}" for name, value in given.items() if value != "none")
    yield (
        f"{run.task.announce()}; {transport.size} rank(s), {config.compressor}({parameters}); run in {run.folder.path}"
    )
    if config.make_compressor().learner and not config.level_schedule.fires_within(run.task.updates):
        yield (
            f"Warning: levels never adapt in {run.task.updates} updates with --levels-at {config.levels_at!r} "
            f"--levels-every {config.levels_every}; {config.compressor} keeps those it starts with"
        )
    if run.trainer.gossip is not None:
        yield run.trainer.gossip.describe(run.trainer.optimizers[0])
    yield from run.task.remarks()
    if config.compressor not in ("none", "fp16") and transport.size > 1 and len(transport.hosts()) == 1:
        yield (
            "Note: all ranks are on one host, where no link is slower than compressing; "
            "--compressor none is faster here (docs/performance.md)"
        )


def _describe_gossip(summary: dict[str, Any], run: "Run") -> Iterator[str]:
    """Lines on how far ranks are apart, or that they are not."""
    from hvd_qgenx.training.run import DISTANCE

    if run.trainer.gossip is None:
        yield f"replica hash {summary['replica_hash']} on every rank"
        return
    scores = summary["scores"]
    for name in run.task.local_scores if scores else ():
        mean, least, greatest = (scores[f"{name}/local_{which}"] for which in ("mean", "least", "greatest"))
        yield f"{name} of the ranks' own parameters: {mean:.4g}, from {least:.4g} to {greatest:.4g}"
    if scores:
        yield f"consensus distance {scores[DISTANCE]:.3g}"
    yield f"replicas agree at both ends of every link; hash of all ranks' parameters {summary['replica_hash']}"


def _describe_clipping(run: "Run") -> Iterator[str]:
    """Says that integers were clipped, if some were: the sums are biased then."""
    if run.clipped:
        yield (
            f"Warning: up to {run.clipped:.2g} of the coordinates, the largest, were clipped to "
            f"{run.config.compressor}'s width, which biases their sums; give a smaller --alpha, or more --bits"
        )


def _describe(summary: dict[str, Any], run: "Run") -> str:
    """Returns a summary of a finished run in sentences."""
    from hvd_qgenx.training.run import EXCHANGE

    seconds = summary["seconds"]
    split, inside = (
        ", ".join(f"{name.replace('_', ' ')} {seconds[name]:.1f}" for name in parts)
        for parts in (run.trainer.phases, EXCHANGE)
    )
    communication = sum(seconds[name] for name in EXCHANGE)
    lines = [
        f"{summary['updates']} updates on {summary['ranks']} ranks in {seconds['total']:.1f} s ({split})",
        f"Communication took {communication:.1f} s ({inside}), partly overlapped; "
        f"training waited {seconds['waiting']:.1f} s for it.",
        *run.task.conclusions(summary),
        *_describe_clipping(run),
        *_describe_gossip(summary, run),
        f"samples, metrics and checkpoint in {run.folder.path}",
    ]
    return "\n".join(lines)
