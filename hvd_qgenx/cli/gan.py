"""hvd-qgenx gan"""

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.table import Table

import compressors
from hvd_qgenx import data, exchange
from hvd_qgenx.cli import options
from hvd_qgenx.optim.registry import METHODS
from hvd_qgenx.runs import RunFolder
from hvd_qgenx.scores import EXTRACTORS, samples_note
from hvd_qgenx.tasks.gan.losses import LOSSES
from hvd_qgenx.tasks.gan.models import MODELS, NORMS
from hvd_qgenx.tasks.gan.settings import AUGMENTATIONS, CODINGS, PRECISIONS, GanConfig
from hvd_qgenx.training import launch, presets
from hvd_qgenx.training.averages import WEIGHTS
from hvd_qgenx.training.elastic import ElasticRun
from hvd_qgenx.training.run import EXCHANGE, Run
from hvd_qgenx.training.settings import DEVICES, FIELDS, OWN, PARAMETERS, Setting, Settings, merge
from hvd_qgenx.training.trainer import PHASES
from hvd_qgenx.transport import Transport, launched_elastic
from hvd_qgenx.transport.agreement import from_rank_0
from hvd_qgenx.transport.cores import share_cores

SECTIONS = {
    "preset": "Settings from elsewhere",
    "dataset": "Images",
    "model": "Players",
    "loss": "Training",
    "compressor": "Compression",
    "score_every": "Scores",
    "device": "Machine",
    "log_every": "The run",
    "help": "Other",
}
ORIGINS = {ParameterSource.ENVIRONMENT: "environment", ParameterSource.COMMANDLINE: "command line"}

option = options.option_from(GanConfig)


def _list_presets(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        width = max(map(len, presets.names()))
        for name in presets.names():
            click.echo(f"{name:{width}}  {presets.describe(name)}")
        context.exit()


@click.command(cls=options.Sectioned, sections=SECTIONS)
@click.option("--preset", metavar="NAME", help="Preset, or a .toml file, to take settings from; options win over it.")
@click.option(
    "--list-presets",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_presets,
    help="List them, and stop.",
)
@click.option("--show-config", is_flag=True, help="Print every setting with where it comes from, and stop.")
@option("--dataset", f"One of {', '.join(data.DATASETS)}; digits comes with scikit-learn.")
@option(
    "--data-dir",
    "Folder of the other data sets, in torchvision's layout.",
    envvar="HVD_QGENX_DATA",
    show_envvar=True,
)
@click.option("--download", is_flag=True, help="Fetch missing data and weights; one rank of every host does.")
@option("--image-size", "Side of the images, where the data set leaves a choice; 0: the usual one.")
@option("--augmentation", f"One of {', '.join(AUGMENTATIONS)}; flip shows half of the images mirrored.")
@option("--workers", "Processes of every rank that prepare batches; 0: the rank itself.")
@option("--batch-size", "Images in a batch, over all ranks together.")
@option("--model", f"One of {', '.join(MODELS)}.")
@option("--filters", "Width: of the DCGAN's outermost feature map, of all of the ResNet's.")
@option("--latent", "Length of a latent vector.")
@option("--generator-norm", f"One of {', '.join(NORMS)}.")
@option("--discriminator-norm", f"One of {', '.join(NORMS)}.")
@option("--spectral-norm", "Divide the discriminator's weights by their largest singular values.")
@option("--conditional", "Give both players the labels too.")
@option("--loss", f"One of {', '.join(LOSSES)}; wgan-gp has a gradient penalty, wgan clips weights.")
@option("--penalty", "Weight of the gradient penalty of wgan-gp.")
@option("--clip", "Largest weight of the discriminator with wgan.")
@option("--updates", "Updates of both players.")
@option("--seed", "Decides everything random.")
@option("--optimizer", f"One of {', '.join(METHODS)}. extra-... and qgenx-de make two exchanges an update.")
@option("--generator-lr", "Step size of the generator, on Q-GenX's adaptive one.", type=float, show_default=OWN)
@option("--discriminator-lr", "Step size of the discriminator.", type=float, show_default=OWN)
@option("--beta1", "Decay of Adam's first moment.")
@option("--beta2", "Decay of Adam's second moment.")
@option("--amsgrad", "Adam divides by the largest second moment so far.")
@option("--momentum", "Of SGD and its kin.")
@option("--nesterov", "SGD looks ahead; needs a momentum.")
@option("--delta", "Q-GenX's step begins at ranks / sqrt(delta).")
@option("--critic-steps", "Steps of the discriminator before one of the generator; 0: both move at once.")
@option("--ema", "Decay, an update, of the exponential moving average of the generator's weights.")
@option("--compressor", f"One of {', '.join(compressors.names())}.")
@options.compressor_options
@option("--coding", f"Entropy code of the compressor's symbols: {', '.join(CODINGS)}.")
@option("--levels-at", "Updates before which levels adapt, where the compressor has such.")
@option("--levels-every", "Levels adapt at every multiple of this too, after the last of --levels-at; 0: never.")
@option("--compress-from", "Send tensors with fewer elements, and all with one dimension, uncompressed.")
@option("--exchange", f"One of {', '.join(exchange.NAMES)}; auto chooses by the number of ranks.")
@option("--score-every", "Updates between two scores of the generator, and one at the end; 0: none at all.")
@option("--score-samples", "Images that are generated for a score.")
@option("--score-weights", f"Whose images are scored, any of {', '.join(WEIGHTS)}, like raw,ema.")
@option("--features", f"On what images are scored: {', '.join(EXTRACTORS)}. Only on inception it is FID.")
@option("--inception-weights", "File of Inception's weights.  [default: where torch hub keeps it]", show_default=False)
@option("--device", f"Where to compute: {', '.join(DEVICES)}; auto takes a GPU if there is one.", show_default="auto")
@option("--precision", f"One of {', '.join(PRECISIONS)}; parameters and what is exchanged stay fp32.")
@option("--log-every", "Updates between two rows of metrics.")
@option("--sample-every", "Updates between two sample pictures.")
@option("--checkpoint-every", "Updates between two checkpoints; x.5 falls between the half-steps of extra-adam.")
@option("--gradients-at", "Updates whose gradients rank 0 saves before compression, like 10,100.", show_default=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/gan-TIME]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with the run in this folder.")
@click.option(
    "--continue", "continues", is_flag=True, help="Go on with the run in --out if it has a checkpoint; else begin it."
)
@click.option("--elastic", is_flag=True, help="Go on when ranks are lost or join; under horovodrun --min-np.")
@click.option(
    "--commit-every",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Updates between two states to go on from with --elastic; a lost rank costs what came after.",
)
@click.option("--label", metavar="TEXT", help="What reports call the link between ranks, to tell runs apart.")
@options.launcher_options
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as JSON, and nothing else, on standard output."
)
def gan(**values: Any) -> None:
    """Train a GAN; both players' gradients are averaged over ranks, compressed.

    \b
    Examples:
      hvd-qgenx gan --updates 200
      horovodrun -np 3 -H localhost:3 hvd-qgenx gan --compressor minmax --bits 4
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan --preset uq4 --data-dir ~/data
      hvd-qgenx gan --preset small-uq8 --updates 100 --show-config
      hvd-qgenx gan --resume runs/gan-20260101-120000 --updates 2000

    The run's folder gets config.json, metrics.csv, TensorBoard events, sample pictures, a
    checkpoint and summary.json. A run goes on bit for bit with --resume.
    """
    context = click.get_current_context()
    expected = values["expect_ranks"], values["expect_hosts"]
    with options.exit_codes() as session:
        if values["show_config"]:
            transport = session.initialize(*expected)
            plan = _plan(context, transport)
            if transport.rank == 0:
                click.echo(_show(plan.explain(), values["preset"], values["as_json"]))
            return

        def begin(
            transport: Transport | None = None, folder: Path | None = None, stored: launch.Stored | None = None
        ) -> Run:
            ranks, hosts = expected if stored is None else (None, None)
            transport = session.initialize(ranks, hosts, transport)
            return _begin(context, transport, _plan(context, transport, folder, stored))

        if values["elastic"]:
            run, summary = launched_elastic(ElasticRun(begin, values["commit_every"]).train)
        else:
            run = begin()
            summary = run.train()
        if run.writes:
            click.echo(json.dumps(summary, indent=2) if values["as_json"] else _describe(summary, run.folder))


def _plan(
    context: click.Context, transport: Transport, folder: Path | None = None, stored: launch.Stored | None = None
) -> launch.Plan:
    """What is to be trained; ``folder`` and ``stored`` as ``ElasticRun`` gives them."""
    values = context.params
    folder = folder or values["resume"]
    if values["continues"]:
        folder = folder or from_rank_0(transport, "continue", lambda: launch.interrupted(values["out"]))
    return launch.plan(transport, lambda: asked(context), folder, stored, resize=values["elastic"])


def _begin(context: click.Context, transport: Transport, plan: launch.Plan) -> Run:
    values = context.params
    share_cores(transport)
    out = values["out"] or Path(f"runs/gan-{datetime.now():%Y%m%d-%H%M%S}")
    notes = {"preset": values["preset"], "link": values["label"]}
    run = launch.start(transport, plan, out, notes, values["download"])
    if run.writes:
        click.echo("\n".join(filter(None, _remarks(run))), err=True)
    return run


def asked(context: click.Context) -> Settings:
    """What a command line of ``gan`` asks for: preset, then environment, then options; the last of them wins.

    Raises:
        ConfigurationError: there is no such preset, or it is none.
    """
    preset, resume = context.params["preset"], context.params["resume"]
    layers = [presets.load(preset).merged()] if preset else []
    if not resume:  # which keeps what it had
        layers.append(_given(context, ParameterSource.ENVIRONMENT))
    return merge([*layers, _given(context, ParameterSource.COMMANDLINE)])


def _given(context: click.Context, source: ParameterSource) -> Settings:
    return {
        name: Setting(value, ORIGINS[source])
        for name, value in context.params.items()
        if name in {*FIELDS, *PARAMETERS} and context.get_parameter_source(name) == source
    }


def _show(settings: Settings, preset: str | None, as_json: bool) -> str:
    """All settings with their origins, for people or as JSON."""
    if as_json:
        return json.dumps({name: dataclasses.asdict(setting) for name, setting in settings.items()}, indent=2)
    lineage = presets.load(preset).lineage() if preset else []
    table = Table("setting", "value", "from", caption=" extends ".join(each.name for each in lineage))
    for name, setting in settings.items():
        table.add_row(name, str(setting.value), setting.origin)
    console = Console(color_system=None, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")


def _remarks(run: Run) -> list[str | None]:
    note = samples_note(run.scorer) if run.scorer else None
    return [
        _announce(run),
        _level_warning(run.config),
        f"Warning: {note}" if note else None,
        _host_note(run.config, run.trainer.transport),
    ]


def _announce(run: Run) -> str:
    config, trainer = run.config, run.trainer
    given = {**config.compressor_parameters, "coding": config.coding}
    parameters = ", ".join(f"{name}={value}" for name, value in given.items() if value != "none")
    sizes = (sum(p.numel() for p in model.parameters()) for model in (trainer.generator, trainer.discriminator))
    return (
        f"{config.dataset} on {trainer.transport.size} rank(s), {config.compressor}({parameters}); "
        "generator {:,}, discriminator {:,} parameters; ".format(*sizes)
        + f"run in {run.folder.path}"
    )


def _level_warning(config: GanConfig) -> str | None:
    if config.make_compressor().learner is None or config.level_schedule.fires_within(config.updates):
        return None
    return (
        f"Warning: levels never adapt in {config.updates} updates with --levels-at {config.levels_at!r} "
        f"--levels-every {config.levels_every}; {config.compressor} keeps those it starts with"
    )


def _host_note(config: GanConfig, transport: Transport) -> str | None:
    if config.compressor in ("none", "fp16") or transport.size == 1 or len(transport.hosts()) > 1:
        return None
    return (
        "Note: all ranks are on one host, where no link is slower than compressing; "
        "--compressor none is faster here (docs/performance.md)"
    )


def _describe(summary: dict[str, Any], folder: RunFolder) -> str:
    seconds = summary["seconds"]
    split, inside = (
        ", ".join(f"{name.replace('_', ' ')} {seconds[name]:.1f}" for name in p) for p in (PHASES, EXCHANGE)
    )
    return (
        f"{summary['updates']} updates on {summary['ranks']} ranks in {seconds['total']:.1f} s ({split})\n"
        f"of exchanges training waited for what is called waiting; they took {inside} s, partly meanwhile\n"
        f"{summary['bytes_per_update'] / 1e6:.3f} MB sent per update by one rank\n"
        f"replica hash {summary['replica_hash']} on every rank\n"
        f"samples, metrics and checkpoint in {folder.path}"
    )
