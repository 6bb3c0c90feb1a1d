"""From settings to a run that is ready to train: all that can go wrong before goes wrong here, on all ranks alike."""

import copy
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from torch import nn

from compressors.naming import shortened, shown
from hvd_qgenx import plugins
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.reading import naming
from hvd_qgenx.runs import RunFolder, checkpoint
from hvd_qgenx.runs.folder import write_json
from hvd_qgenx.training.asked import Settings, configure, explain, values
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.fitting import refused, require_like, without_memory
from hvd_qgenx.training.resize import resized
from hvd_qgenx.training.run import Run
from hvd_qgenx.training.settings import declared
from hvd_qgenx.training.task import Task, task_of
from hvd_qgenx.training.trainer import Trainer
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import from_rank_0, on_all_ranks, require_same
from hvd_qgenx.transport.inprocess import InProcess

C = TypeVar("C", bound=Config)


class Stored(TypedDict):
    """All that a run can go on from."""

    config: dict[str, Any]
    """The contents of config.json."""
    state: dict[str, Any]
    """``Run.state_dict``."""


@dataclass(frozen=True)
class Plan:
    """A decision on what is trained, the same on all ranks."""

    config: Config
    asked: Settings
    """Settings given by preset, environment and command line."""
    resumed: Path | None
    """The folder of the run that is to go on."""
    stored: Stored | None
    """State to continue from."""

    def explain(self) -> Settings:
        """Returns every setting with its origin."""
        return explain(self.config, self.asked, f"resumed run {self.resumed}" if self.resumed else None)


def plan(
    transport: Transport,
    task: type[Config],
    ask: Callable[[], Settings],
    resume: Path | None = None,
    stored: Stored | None = None,
    *,
    resize: bool = False,
) -> Plan:
    """Decides on a configuration.

    Args:
        transport: of the ranks.
        task: the task's configuration class.
        ask: finds what is asked for; may raise ConfigurationError.
        resume: the folder of a run to go on with; settings that are asked for must be those it has, where they may
            not change.
        stored: what it is to go on from; by default what its folder holds.
        resize: it may have had another number of ranks.

    Raises:
        ConfigurationError: on all ranks; there is no such run, it cannot be trained, or ranks disagree.
    """
    if resume and not stored:
        stored = _read_run(transport, task, resume)

    def decide() -> tuple[Config, Settings]:
        asked = ask()
        ranks = stored["config"]["ranks"] if stored and resize else transport.size
        config = _continued(task, ranks, stored["config"], asked) if stored else configure(task, asked)
        config.check(transport.size)
        return config, asked

    config, asked = on_all_ranks(transport, "configure", decide)
    own = [name for name, each in declared(task).items() if each.declaration.per_host]
    require_same(transport, {**config.as_dict(), **dict.fromkeys(own)})
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
    config, stored = plan.config, plan.stored
    task_type = task_of(type(config))
    data = _load(task_type, config, transport, download)
    state = stored["state"] if stored else None
    folder = RunFolder(plan.resumed or out)
    on_all_ranks(transport, "model", lambda: _check_model(task_type, config, data, state, folder))
    task = task_type(config, data, transport)
    task.prepare(download, stored["config"] if stored else None)
    run = Run(Trainer(task), folder)
    if stored is not None:
        with naming(folder.checkpoint):
            run.check(stored["state"], ranks=stored["config"]["ranks"])
            run.load(resized(stored["state"], transport.size))
    on_all_ranks(transport, "folder", lambda: run.folder.reserve(again=stored is not None) if run.writes else None)
    try:
        task.warm_up()  # takes a while, so a run that is stopped here has not begun
        run.record = _record(transport, plan, {**notes, **task.notes()})
        if run.writes:
            write_json(run.folder.config, run.record)
    except BaseException:
        run.release()
        raise
    return run


def _check_model(
    task: type[Task], config: Config, data: Any, state: Mapping[str, Any] | None, folder: RunFolder
) -> None:
    """Checks that a configuration, its data and a stored state, if there is one, make a model."""
    if state is None:
        task.check_data(config, data, None)
        return
    with naming(folder.checkpoint):
        with refused(""):
            task.check_data(config, data, state)
        for name, model in without_memory(lambda: nn.ModuleDict(task.make_players(config, data))).items():
            require_like(state.get(name), model.state_dict(), name)


def _load(task: type[Task], config: Config, transport: Transport, download: bool) -> Any:
    """Returns the data, of which the ranks of one process have one copy together. Collective."""
    if not transport.shares_memory:
        return task.load(config, transport, download)
    return from_rank_0(transport, "data", lambda: task.load(config, InProcess(), download))


def interrupted(path: Path | None) -> Path | None:
    """Returns the folder if it holds a checkpoint to continue from; a run without one starts again.

    Raises:
        ConfigurationError: no folder is given.
    """
    if path is None:
        raise ConfigurationError("--continue needs the folder of the run: give --out")
    return path if RunFolder(path).checkpoint.exists() else None


@contextmanager
def held(transport: Transport, path: Path, anew: bool) -> Iterator[None]:
    """Reserves the folder of a run, if there is one, before it is read: nobody else continues it meanwhile. Collective.

    If an error leaves the context, the folder is released; if none does, it stays reserved.

    Args:
        transport: of the ranks.
        path: the run's folder.
        anew: a run without a checkpoint begins again.

    Raises:
        ConfigurationError: on all ranks; as ``RunFolder.reserve``.
    """
    folder = RunFolder(path)

    def reserve() -> None:
        if transport.rank == 0 and (folder.config if anew else folder.checkpoint).exists():
            folder.reserve(again=True)
            if not folder.checkpoint.exists():
                folder.config.unlink(missing_ok=True)

    on_all_ranks(transport, "hold", reserve)
    try:
        yield
    except BaseException:
        if transport.rank == 0:
            folder.release()
        raise


def _read_run(transport: Transport, task: type[Config], path: Path) -> Stored:
    """Reads configuration and state of an earlier run on rank 0 and broadcasts them."""

    def read() -> Stored | None:
        if transport.rank != 0:
            return None
        folder = RunFolder(path)
        config = folder.read_config()
        restored(folder, config, task)
        return {"config": config, "state": checkpoint.load(folder.checkpoint, task_of(task).kind)}

    stored: Stored = transport.broadcast_object(on_all_ranks(transport, "resume", read), "stored")
    return copy.deepcopy(stored) if transport.shares_memory else stored  # optimizers keep the tensors they load


def restored(folder: RunFolder, stored: dict[str, Any], task: type[C]) -> C:
    """Returns the configuration that a run's config.json holds, with values that it can have.

    Raises:
        ConfigurationError: it is one of another task or version, or damaged; names the file.
    """
    require_task(folder.path, stored, task.task)
    plugins.require(stored, folder.path)
    with naming(folder.config):
        config = task.restored(stored)
        config.check_values()
        config.make_compressor()
    return config


def require_task(path: Path, config: dict[str, Any], task: str) -> None:
    """Raises ConfigurationError if a run is one of another task; runs older than tasks are of a GAN."""
    found = config.get("task", "gan")
    if found != task:
        raise ConfigurationError(f"{path} is a run of hvd-qgenx {shortened(str(found))}, not {task}")


def _continued(task: type[Config], ranks: int, stored: dict[str, Any], asked: Settings) -> Config:
    """Returns the stored configuration with changes to settings that may change; refuses others."""
    now = values(asked)
    before = task.restored(stored)
    former = {**before.flat(), "ranks": stored.get("ranks")}
    if type(former["ranks"]) is not int or former["ranks"] < 1:
        raise ConfigurationError(f"the run's config.json is not one of this version: ranks is {shown(former['ranks'])}")
    now["ranks"] = ranks
    settings = declared(task)
    may_change = {name for name, each in settings.items() if each.declaration.may_change}
    changed = [name for name in now if name not in may_change and now[name] != former.get(name)]
    if changed == ["ranks"]:
        raise ConfigurationError(
            f"the run has {former['ranks']} ranks, not {ranks}: start as many, or give --ranks-may-change, "
            "after which its bits are those of an elastic run"
        )
    if changed:
        listing = "; ".join(f"{name} was {former.get(name)}, not {now[name]}" for name in changed)
        raise ConfigurationError(f"These settings cannot change on resume: {listing}")
    return before.replaced({name: value for name, value in now.items() if name in may_change})


def _record(transport: Transport, plan: Plan, notes: dict[str, Any]) -> dict[str, Any]:
    """Returns the contents of config.json. Collective."""
    stored = plan.stored["config"] if plan.stored else {}
    return {
        "task": plan.config.task,
        **plan.config.as_dict(),
        "ranks": transport.size,
        "hosts": len(transport.hosts()),
        "versions": transport.versions(),
        "plugins": plugins.record(plan.config.origins()),
        "command": sys.argv,
        **{name: stored.get(name) if note is None else note for name, note in notes.items()},
    }
