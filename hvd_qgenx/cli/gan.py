"""hvd-qgenx gan"""

import json
import sys
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import torch
from click.core import ParameterSource

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.cli import options
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gan import data, models
from hvd_qgenx.gan.config import CODINGS, MAY_CHANGE, GanConfig
from hvd_qgenx.gan.losses import LOSSES
from hvd_qgenx.gan.models import NORMS
from hvd_qgenx.gan.optimizers import METHODS
from hvd_qgenx.gan.run import EXCHANGE, KIND, Run
from hvd_qgenx.gan.trainer import PHASES, Trainer
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.runs.folder import write_json
from hvd_qgenx.transport import Transport, launched
from hvd_qgenx.transport.agreement import require_same, require_size, together

OWN = "the optimizer's own"
SETTINGS = {field.name for field in fields(GanConfig)}

option = options.option_from(GanConfig)


@click.command()
@option("--dataset", f"One of {', '.join(data.DATASETS)}; digits comes with scikit-learn.")
@option(
    "--data-dir",
    "Folder of the other data sets, in torchvision's layout.",
    envvar="HVD_QGENX_DATA",
    show_envvar=True,
)
@click.option("--download", is_flag=True, help="Fetch a missing data set; one rank of every host does.")
@option("--batch-size", "Images in a batch, over all ranks together.")
@option("--updates", "Updates of both players.")
@option("--seed", "Decides everything random.")
@option("--loss", f"One of {', '.join(LOSSES)}: with gradient penalty, or with weight clipping.")
@option("--penalty", "Weight of the gradient penalty of wgan-gp.")
@option("--clip", "Largest weight of the discriminator with wgan.")
@option("--filters", "Width of the DCGAN's outermost feature map.")
@option("--latent", "Length of a latent vector.")
@option("--generator-norm", f"One of {', '.join(NORMS)}.")
@option("--discriminator-norm", f"One of {', '.join(NORMS)}.")
@option("--optimizer", f"One of {', '.join(METHODS)}. extra-... and qgenx-de make two exchanges an update.")
@option("--generator-lr", "Step size of the generator, on Q-GenX's adaptive one.", type=float, show_default=OWN)
@option("--discriminator-lr", "Step size of the discriminator.", type=float, show_default=OWN)
@option("--beta1", "Decay of Adam's first moment.")
@option("--beta2", "Decay of Adam's second moment.")
@option("--amsgrad", "Adam divides by the largest second moment so far.", is_flag=True)
@option("--momentum", "Of SGD and its kin.")
@option("--nesterov", "SGD looks ahead; needs a momentum.", is_flag=True)
@option("--delta", "Q-GenX's step begins at ranks / sqrt(delta).")
@option("--critic-steps", "Steps of the discriminator before one of the generator; 0: both move at once.")
@option("--compressor", f"One of {', '.join(compressors.names())}.")
@options.compressor_options
@option("--coding", f"Entropy code of the compressor's symbols: {', '.join(CODINGS)}.")
@option("--levels-at", "Updates before which levels adapt, where the compressor has such.")
@option("--levels-every", "Levels adapt at every multiple of this too, after the last of --levels-at; 0: never.")
@option("--compress-from", "Send tensors with fewer elements, and all with one dimension, uncompressed.")
@option("--exchange", f"One of {', '.join(exchange.NAMES)}; auto chooses by the number of ranks.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
@option("--log-every", "Updates between two rows of metrics.")
@option("--sample-every", "Updates between two sample pictures.")
@option("--checkpoint-every", "Updates between two checkpoints; x.5 falls between the half-steps of extra-adam.")
@option("--gradients-at", "Updates whose gradients rank 0 saves before compression, like 10,100.", show_default=False)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/gan-TIME]")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with the run in this folder.")
@options.expect_ranks
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as JSON, and nothing else, on standard output."
)
def gan(**values: Any) -> None:
    """Train a Wasserstein GAN; both players' gradients are averaged over ranks, compressed.

    \b
    Examples:
      hvd-qgenx gan --updates 200
      horovodrun -np 3 -H localhost:3 hvd-qgenx gan --compressor minmax --bits 4
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan --dataset cifar10 --data-dir ~/data --filters 64
      hvd-qgenx gan --resume runs/gan-20260101-120000 --updates 2000

    The run's folder gets config.json, metrics.csv, TensorBoard events, sample pictures, a
    checkpoint and summary.json. A run goes on bit for bit with --resume.
    """
    context = click.get_current_context()
    given = {name for name in values if context.get_parameter_source(name) == ParameterSource.COMMANDLINE}
    with options.exit_codes() as session:
        session.transport = launched()
        run = _prepare(session.transport, values, given)
        notes = [_announce(run), _level_warning(run.config), _host_note(run.config, session.transport)]
        if run.writes:
            click.echo("\n".join(note for note in notes if note), err=True)
        summary = run.train()
        if run.writes:
            click.echo(json.dumps(summary, indent=2) if values["as_json"] else _describe(summary, run.folder))


def _prepare(transport: Transport, values: dict[str, Any], given: set[str]) -> Run:
    """All that can go wrong before training goes wrong here, on all ranks together."""
    require_size(transport.size, values["expect_ranks"])
    stored = _read_run(transport, values["resume"]) if values["resume"] else None
    config = together(transport, "configure", lambda: _configure(transport, values, given, stored))
    require_same(transport, {**config.as_dict(), "data_dir": None})  # hosts may keep it elsewhere
    options.share_cores(transport)
    images = data.load(config.dataset, Path(config.data_dir), values["download"], transport)
    together(transport, "model", lambda: models.check(config.model, images.side))
    trainer = Trainer(config, images, transport)
    folder = RunFolder(values["resume"] or values["out"] or Path(f"runs/gan-{datetime.now():%Y%m%d-%H%M%S}"))
    run = Run(trainer, folder)
    if stored is not None:
        run.load(stored["state"])
    world = {"ranks": transport.size, "hosts": len(transport.hosts())}
    record = {**config.as_dict(), **world, "versions": transport.versions(), "command": sys.argv}
    together(transport, "folder", lambda: _write_config(folder, record, stored, transport))
    return run


def _read_run(transport: Transport, path: Path) -> dict[str, Any]:
    """Configuration and state of an earlier run: rank 0 reads, all receive."""

    def read() -> dict[str, Any] | None:
        if transport.rank != 0:
            return None
        folder = RunFolder(path)
        return {"config": folder.read_config(), "state": checkpoint.load(folder.checkpoint, KIND)}

    stored: dict[str, Any] = transport.broadcast_object(together(transport, "resume", read), "stored")
    return stored


def _configure(
    transport: Transport, values: dict[str, Any], given: set[str], stored: dict[str, Any] | None
) -> GanConfig:
    values = dict(values)
    parameters = options.take_compressor_parameters(values)
    if values["device"] == "auto":
        values["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    if stored is None:
        asked = {name: value for name, value in values.items() if name in SETTINGS}
        config = GanConfig(**asked, compressor_parameters=parameters).completed()
    else:
        asked = {name: value for name, value in values.items() if name in SETTINGS & given}
        config = _continued(transport, stored["config"], asked, parameters)
    config.check(transport.size)
    return config


def _continued(
    transport: Transport, stored: dict[str, Any], asked: dict[str, Any], parameters: dict[str, Any]
) -> GanConfig:
    """The stored configuration with what may change changed; anything else must be as it was."""
    old = {name: value for name, value in stored.items() if name in SETTINGS}
    try:
        before = {**old, **old["compressor_parameters"], "ranks": stored["ranks"]}
        config = GanConfig(**{**old, **{name: asked[name] for name in MAY_CHANGE if name in asked}})
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"the run's config.json is not one of this version ({error})") from error
    now = {**asked, **parameters, "ranks": transport.size}
    changed = [name for name in now if name not in MAY_CHANGE and now[name] != before.get(name)]
    if changed:
        listing = "; ".join(f"{name} was {before.get(name)}, not {now[name]}" for name in changed)
        raise ConfigurationError(f"the run cannot go on otherwise than it began: {listing}")
    return config


def _write_config(
    folder: RunFolder, record: dict[str, Any], stored: dict[str, Any] | None, transport: Transport
) -> None:
    if transport.rank == 0:
        if stored is None:
            folder.create(record)
        else:
            write_json(folder.config, record)


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
