"""hvd-qgenx mpijob"""

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

import click

from compressors.naming import shortened
from hvd_qgenx import mpijob as jobs
from hvd_qgenx.cli.sections import SectionedCommand, option
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.cli.settings import TaskCommand
from hvd_qgenx.cli.training import asked
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.mpijob import RUNS, Finding, Job, rules, schema
from hvd_qgenx.mpijob.launcher import PROGRAM
from hvd_qgenx.reading import read_stream
from hvd_qgenx.training.asked import configure
from hvd_qgenx.transport.environment import CRD

JOB, WORKERS, VOLUMES, FAILURES, FILES = SECTIONS = ("The job", "Workers", "Volumes", "Failures", "Files")
"""Headings of the help."""


def setting(flag: str, help: str, section: str, **settings: Any) -> Callable[[Any], Any]:
    """Makes an option with the type and default of the job's field of the same name."""
    name = flag.lstrip("-").replace("-", "_")
    default = Job.__dataclass_fields__[name].default
    settings = {"type": type(default), "show_default": True, **settings}
    return option((flag, name), help, section, default=default, **settings)


class Range(click.ParamType):  # type: ignore[type-arg]
    """Two whole numbers with a colon between."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        least, _, most = str(value).partition(":")
        if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most)):
            self.fail(f"{value!r} is not of the form MIN:MAX, like 2:3.", param, ctx)
        return int(least), int(most)


class Variable(click.ParamType):  # type: ignore[type-arg]
    """A variable of the environment with its value."""

    name = "variable"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, text = str(value).partition("=")
        if not equals or not name.replace("_", "a").isalnum() or name[0].isdecimal():
            self.fail(f"{value!r} is not of the form NAME=VALUE.", param, ctx)
        return name, text


class Recording(SectionedCommand):
    """Remembers the words that it was called with, for the comment in what it writes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=Recording, sections=SECTIONS, context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@setting("--name", "Name of the job; the names of its pods begin with it.", JOB)
@setting("--namespace", "Namespace of the job.  [default: kubectl's]", JOB, show_default=False)
@setting("--image", "Image built from Dockerfile.horovod, with Open MPI 4.1.", JOB)
@setting(
    "--env", "Environment variable of all ranks, like NCCL_DEBUG=INFO; repeatable.", JOB, type=Variable(), multiple=True
)
@setting("--workers", "Pods with ranks.", WORKERS, type=click.IntRange(1))
@setting(
    "--slots", "Ranks on each worker.  [default: one for each GPU]", WORKERS, type=click.IntRange(1), show_default=False
)
@setting("--gpus", "GPUs of each worker.", WORKERS, type=click.IntRange(0))
@setting("--cpus", "Cores of each worker, shared by its ranks.", WORKERS, type=click.FloatRange(0, min_open=True))
@setting("--memory", "Memory of each worker, a Kubernetes quantity.", WORKERS)
@setting("--shm", "Size of /dev/shm, a part of --memory.", WORKERS)
@setting("--runs-claim", f"PersistentVolumeClaim mounted at {RUNS}, writable by all workers.", VOLUMES)
@setting(
    "--data-claim",
    "PersistentVolumeClaim with data sets, mounted read-only.  [default: none]",
    VOLUMES,
    show_default=False,
)
@setting("--backoff-limit", "How often a failed job is started again.", FAILURES, type=click.IntRange(0))
@setting("--ttl", "Seconds for which a finished job is kept.", FAILURES, type=click.IntRange(0))
@setting(
    "--deadline",
    "Seconds that the job may take, over all attempts.  [default: no limit]",
    FAILURES,
    type=click.IntRange(1),
    show_default=False,
)
@setting(
    "--elastic",
    "MIN:MAX ranks: continue when workers are lost or come back.",
    FAILURES,
    type=Range(),
    show_default=False,
)
@setting(
    "--stall-seconds",
    "End the job after its ranks have waited this many seconds for one of them.",
    FAILURES,
    type=click.IntRange(1),
)
@setting(
    "--grace-seconds",
    "Seconds for a checkpoint between the request to stop a pod and its end.",
    FAILURES,
    type=click.IntRange(15),
)
@option("--out", "Write the manifest here.  [default: standard output]", FILES, type=click.Path(path_type=Path))
@option(
    ("--check", "files"),
    "Check a manifest instead of writing one; repeatable; - is standard input.",
    FILES,
    type=click.File("rb"),
    multiple=True,
    metavar="FILE",
)
@option(
    "--crd",
    "The operator's MPIJob definition to check against.  [default: the fields of v2beta1]",
    FILES,
    type=click.File("rb"),
    envvar=CRD,
    show_envvar=True,
)
def mpijob(command: tuple[str, ...], out: Path | None, files: Sequence[Any], crd: Any, **values: Any) -> None:
    """Write the manifest of a job for Kubeflow's MPI operator, or check any.

    \b
    Examples:
      hvd-qgenx mpijob --workers 3 -- gan --updates 500 | kubectl apply -f -
      hvd-qgenx mpijob --name uq4 --gpus 1 --data-claim datasets --out uq4.yaml -- gan --preset uq4
      hvd-qgenx mpijob --elastic 2:3 -- gan --commit-every 20
      hvd-qgenx mpijob --check uq4.yaml

    COMMAND is what every rank runs, without the name of this program. It is parsed before anything is
    written, so a manifest holds no misspelt option. Training gets a folder of its own on the runs' volume
    and goes on there when the job is begun again.

    With --check, every finding is one line, and the exit code is 2 if there is an error. Fields that a
    cluster would drop are errors: those of MPIJob v2beta1 are known, and --crd replaces them.
    """
    context = click.get_current_context()
    with exit_codes():
        if files:
            if command:
                raise ConfigurationError("--check takes no COMMAND; leave out one of them")
            _check(files, crd, context)
            return
        job = Job(**values)
        manifest = jobs.manifest(replace(job, command=_completed(job, command, context)))
        _refuse(rules.findings(manifest))
        text = jobs.dump(manifest, [PROGRAM, "mpijob", *context.meta["words"]])
        if out is None:
            click.echo(text, nl=False)
        else:
            _write(out, text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {path}: {error.strerror}; choose another --out") from error


def _refuse(findings: Sequence[Finding]) -> None:
    errors = [f"{finding.path}: {finding.text}" for finding in findings if finding.kind == jobs.ERROR]
    if errors:
        raise ConfigurationError("this job could not run: " + "; ".join(errors))


def _completed(job: Job, words: Sequence[str], context: click.Context) -> tuple[str, ...]:
    """Adds what a command needs in a cluster; the user's own words stay."""
    path, inner = _parsed(words, context)
    values, given = inner.params, isinstance(inner.command, TaskCommand) and not inner.params["resume"]
    own: list[str] = []
    if job.elastic:
        if "elastic" not in values:
            raise ConfigurationError(f"{' '.join(path)} cannot lose ranks; leave out --elastic")
        own += ["--elastic"]
    elif values.get("elastic"):
        raise ConfigurationError(f"say between how many ranks: hvd-qgenx mpijob --elastic 2:{job.ranks}")
    else:
        own += ["--expect-ranks", str(job.ranks), "--expect-hosts", str(job.workers)]
    if given:
        out = values["out"] or f"{RUNS}/{job.name}"
        if not PurePosixPath(posixpath.normpath(out)).is_relative_to(RUNS):
            raise ConfigurationError(f"--out {out} would be lost with its pod; choose a folder in {RUNS}")
        own += [*(() if values["out"] else ("--out", out)), "--continue"]
    _check_training(inner, job.ranks)
    return (*path, *own, *words[len(path) :])


def _parsed(words: Sequence[str], context: click.Context) -> tuple[tuple[str, ...], click.Context]:
    """Parses a command line of this program without running it.

    Returns:
        The words that name the command, and the values of its options.

    Raises:
        click.UsageError: it would be refused.
        ConfigurationError: it does not run under a launcher.
    """
    inner = context.find_root()
    command, path, rest = inner.command, [], list(words)
    while isinstance(command, click.Group):
        if not rest:
            raise click.UsageError("Missing command; what is to run follows --, like: -- gan --updates 500", inner)
        name, found, rest = command.resolve_command(inner, rest)
        assert found is not None  # it fails otherwise
        command = found
        path.append(str(name))
        inner = click.Context(command, parent=inner, info_name=name)
    if not any(parameter.name == "expect_ranks" for parameter in command.params):
        raise ConfigurationError(f"{' '.join(path)} does not run on ranks of a launcher; others do, like gan")
    return tuple(path), command.make_context(path[-1], rest, parent=inner.parent)


def _check_training(inner: click.Context, ranks: int) -> None:
    """Checks what training would check, but for what depends on the machine.

    Raises:
        ConfigurationError: a value cannot be trained with.
    """
    if isinstance(inner.command, TaskCommand) and not inner.params["resume"]:
        task = inner.command.task
        configure(task, asked(inner, task)).replaced({"device": "cpu"}).check(ranks)


def _check(files: Sequence[Any], crd: Any, context: click.Context) -> None:
    strict = None if crd is None else schema.strict(schema.read(_documents(crd), _path(crd))[jobs.KIND])
    errors = 0
    for file in files:
        for number, document in enumerate(_documents(file), start=1):
            kind = document.get("kind") if isinstance(document, Mapping) else None
            title = shortened(f"{kind or 'document'} {_name(document) or number}")
            place = f"{_path(file)}: {title}"
            if kind is None or jobs.is_job(document):
                found = [*jobs.check(document, strict), *_check_command(document, context)]
                errors += sum(finding.kind == jobs.ERROR for finding in found)
                click.echo("\n".join(f"{place}: {finding}" for finding in found) or f"{place}: ok")
            else:
                click.echo(f"{place}: passed over, it is no {jobs.KIND}")
    if errors:
        raise ConfigurationError(
            f"{errors} {'error' if errors == 1 else 'errors'}; repair what is listed and check again"
        )


def _documents(file: Any) -> list[Any]:
    return jobs.load(read_stream(file, _path(file)), _path(file))


def _path(file: Any) -> str:
    return str(getattr(file, "name", "<stdin>"))


def _name(document: Any) -> Any:
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return metadata.get("name") if isinstance(metadata, Mapping) else None


def _check_command(document: Any, context: click.Context) -> list[Finding]:
    """Returns what this program finds wrong with the words that the job's launcher gives it."""
    try:
        launch = rules.launch(document) if isinstance(document, dict) else None
    except ValueError:  # `check` has found it
        return []
    if launch is None or launch.command is None:
        return []
    try:
        with redirect_stdout(StringIO()):  # it may ask for help
            _, inner = _parsed(launch.command, context)
            _check_training(inner, launch.ranks or 1)
    except (click.UsageError, ConfigurationError) as error:
        text = error.format_message() if isinstance(error, click.UsageError) else str(error)
    except click.exceptions.Exit:
        text = "asks for help, and trains nothing"
    else:
        return []
    return [Finding(rules.MAIN, f"`{shlex.join([PROGRAM, *launch.command])}`: {text}")]
