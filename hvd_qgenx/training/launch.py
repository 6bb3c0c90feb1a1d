"""From settings to a run that is ready to train: all that can go wrong before goes wrong here, on all ranks alike."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from hvd_qgenx import data
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.runs.folder import write_json
from hvd_qgenx.tasks.gan import models
from hvd_qgenx.tasks.gan.scoring import make_scorer
from hvd_qgenx.tasks.gan.settings import MAY_CHANGE, GanConfig
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.run import KIND, Run
from hvd_qgenx.training.settings import FIELDS, Settings, configure, explain, values
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import on_all_ranks, require_same

PLACES = ("data_dir", "inception_weights")
"""Settings that hosts may have each its own of."""
EXTRACTOR = "extractor"
"""Where config.json says on what images are scored, which ``features`` may leave open."""


class Stored(TypedDict):
    """All that a run can go on from."""

    config: dict[str, Any]
    """What config.json holds."""
    state: dict[str, Any]
    """``Run.state_dict``."""


@dataclass(frozen=True)
class Plan:
    """What is to be trained, the same on all ranks."""

    config: GanConfig
    asked: Settings
    """What was asked for, by preset, environment and command line."""
    resumed: Path | None
    """The folder of the run that is to go on."""
    stored: Stored | None
    """What it is to go on from."""

    def explain(self) -> Settings:
        """Every setting, with where it comes from."""
        return explain(self.config, self.asked, f"resumed run {self.resumed}" if self.resumed else None)


def plan(
    transport: Transport,
    ask: Callable[[], Settings],
    resume: Path | None = None,
    stored: Stored | None = None,
    *,
    resize: bool = False,
) -> Plan:
    """Decides on a configuration.

    Args:
        transport: of the ranks.
        ask: finds what is asked for; may raise ConfigurationError.
        resume: the folder of a run to go on with; settings that are asked for must be those it has, where they may
            not change.
        stored: what it is to go on from; by default what its folder holds.
        resize: it may have had another number of ranks.

    Raises:
        ConfigurationError: on all ranks; there is no such run, it cannot be trained, or ranks disagree.
    """
    if resume and not stored:
        stored = _read_run(transport, resume)

    def decide() -> tuple[GanConfig, Settings]:
        asked = ask()
        ranks = stored["config"]["ranks"] if stored and resize else transport.size
        config = _continued(ranks, stored["config"], asked) if stored else configure(asked)
        config.check(transport.size)
        return config, asked

    config, asked = on_all_ranks(transport, "configure", decide)
    require_same(transport, {**config.as_dict(), **dict.fromkeys(PLACES)})
    return Plan(config, asked, resume, stored)


def start(transport: Transport, plan: Plan, out: Path, notes: dict[str, Any], download: bool = False) -> Run:
    """Loads what the run needs, and makes its folder.

    Args:
        transport: of the ranks.
        plan: what is to be trained.
        out: the run's folder, unless the plan is to go on with one.
        notes: go into config.json beside the configuration; None: what a resumed run has there.
        download: fetch what is missing.

    Raises:
        ConfigurationError: on all ranks; data or weights are missing, or the folder holds a run already or cannot be
            written.
    """
    config = plan.config
    images = data.load(config.dataset, Path(config.data_dir), download, transport, side=config.image_size)
    on_all_ranks(transport, "model", lambda: _check_images(plan, images))
    trainer = Trainer(config, images, transport)
    scorer = None
    if config.score_every:  # a resumed run keeps the extractor that it has, whatever weights are here now
        kept = plan.stored["config"].get(EXTRACTOR) if plan.stored else None
        scorer = make_scorer(config, images, transport, trainer.device, download, features=kept)
    run = Run(trainer, RunFolder(plan.resumed or out), scorer)
    if plan.stored is not None:
        run.load(resized(plan.stored["state"], transport.size))
    writes = transport.rank == 0
    on_all_ranks(transport, "folder", lambda: run.folder.reserve(again=plan.stored is not None) if writes else None)
    if scorer:
        scorer.prepare()  # takes a while, so a run that is stopped here has not begun
    notes = {**notes, EXTRACTOR: scorer.extractor.name if scorer else None}
    run.record = _record(transport, plan, notes)
    if writes:
        write_json(run.folder.config, run.record)
    return run


def interrupted(path: Path | None) -> Path | None:
    """The folder, if it holds a run to go on with; a run that has no checkpoint yet is to begin again.

    Raises:
        ConfigurationError: no folder is given.
    """
    if path is None:
        raise ConfigurationError("--continue needs the folder of the run: give --out")
    folder = RunFolder(path)
    if folder.checkpoint.exists():
        return path
    folder.config.unlink(missing_ok=True)
    return None


def _check_images(plan: Plan, images: data.ImageSet) -> None:
    config = plan.config
    if plan.stored and plan.stored["state"]["images"]["fingerprint"] != images.fingerprint():
        raise ConfigurationError(
            f"the run was trained on other images than {config.dataset} in {config.data_dir} has now; "
            "name their folder with --data-dir"
        )
    models.check(config.model, images.side)
    if config.conditional and not images.classes:
        raise ConfigurationError(f"{config.dataset} has no labels to be conditional on; leave out --conditional")


def _read_run(transport: Transport, path: Path) -> Stored:
    """Configuration and state of an earlier run: rank 0 reads, all receive."""

    def read() -> Stored | None:
        if transport.rank != 0:
            return None
        folder = RunFolder(path)
        return {"config": folder.read_config(), "state": checkpoint.load(folder.checkpoint, KIND)}

    stored: Stored = transport.broadcast_object(on_all_ranks(transport, "resume", read), "stored")
    return stored


def _continued(ranks: int, stored: dict[str, Any], asked: Settings) -> GanConfig:
    """The stored configuration with what may change changed; anything else must be as it was."""
    now = values(asked)
    old = {name: value for name, value in stored.items() if name in {*FIELDS, "compressor_parameters"}}
    try:
        before = {**old, **old["compressor_parameters"], "ranks": stored["ranks"]}
        config = GanConfig(**{**old, **{name: now[name] for name in MAY_CHANGE if name in now}})
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"the run's config.json is not one of this version ({error})") from error
    now["ranks"] = ranks
    changed = [name for name in now if name not in MAY_CHANGE and now[name] != before.get(name)]
    if changed:
        listing = "; ".join(f"{name} was {before.get(name)}, not {now[name]}" for name in changed)
        raise ConfigurationError(f"the run cannot go on otherwise than it began: {listing}")
    return config


def _record(transport: Transport, plan: Plan, notes: dict[str, Any]) -> dict[str, Any]:
    """What config.json holds. Collective."""
    stored = plan.stored["config"] if plan.stored else {}
    return {
        **plan.config.as_dict(),
        "ranks": transport.size,
        "hosts": len(transport.hosts()),
        "versions": transport.versions(),
        "command": sys.argv,
        **{name: stored.get(name) if note is None else note for name, note in notes.items()},
    }
