"""Options and the work of the commands that write or check manifests for Kubernetes."""

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

import click

from compressors.naming import shortened, shown
from hvd_qgenx import mpijob, plugins, trainjob
from hvd_qgenx.cli.plugins import split
from hvd_qgenx.cli.sections import SectionedCommand, option
from hvd_qgenx.cli.settings import TaskCommand
from hvd_qgenx.cli.training import asked
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.mpijob import RUNS, Finding, Job, rules, schema
from hvd_qgenx.mpijob.launcher import PROGRAM, Launch
from hvd_qgenx.mpijob.nodes import Schema
from hvd_qgenx.reading import read_stream
from hvd_qgenx.training.asked import configure
from hvd_qgenx.trainjob.rules import COMMAND, folder_findings
from hvd_qgenx.trainjob.torchrun import TorchLaunch
from hvd_qgenx.transport.environment import CRD

JOB, RANKS, VOLUMES, FAILURES, FILES = SECTIONS = ("The job", "Pods with ranks", "Volumes", "Failures", "Files")
"""Headings of the help."""
CHECKED = (mpijob.KIND, trainjob.KIND, *trainjob.RUNTIMES)

Decorator = Callable[[Any], Any]


def setting(flag: str, help: str, section: str, name: str | None = None, **settings: Any) -> Decorator:
    """Makes an option with the type and default of a field of the job, of the same name if none is given."""
    name = name or flag.lstrip("-").replace("-", "_")
    default = Job.__dataclass_fields__[name].default
    settings = {"type": type(default), "show_default": True, **settings}
    return option((flag, name), help, section, default=default, **settings)


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


def composed(*decorators: Decorator) -> Decorator:
    """Makes one decorator of several, the first of which is the outermost."""

    def decorate(function: Any) -> Any:
        for each in reversed(decorators):
            function = each(function)
        return function

    return decorate


job_options = composed(
    click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]"),
    setting("--name", "Name of the job; the names of its pods begin with it.", JOB),
    setting("--namespace", "Namespace of the job.  [default: kubectl's]", JOB, show_default=False),
    setting("--image", "Image built from Dockerfile.horovod, with Open MPI 4.1.", JOB),
    setting(
        "--env",
        "Environment variable of all ranks, like NCCL_DEBUG=INFO; repeatable.",
        JOB,
        type=Variable(),
        multiple=True,
    ),
)
resource_options = composed(
    setting("--gpus", "GPUs of each pod.", RANKS, type=click.IntRange(0)),
    setting("--cpus", "Cores of each pod, shared by its ranks.", RANKS, type=click.FloatRange(0, min_open=True)),
    setting("--memory", "Memory of each pod, a Kubernetes quantity.", RANKS),
    setting("--shm", "Size of /dev/shm, a part of --memory.", RANKS),
    setting("--runs-claim", f"PersistentVolumeClaim mounted at {RUNS}, writable by all pods.", VOLUMES),
    setting(
        "--data-claim",
        "PersistentVolumeClaim with data sets, mounted read-only.  [default: none]",
        VOLUMES,
        show_default=False,
    ),
    setting("--backoff-limit", "How often a failed job is started again.", FAILURES, type=click.IntRange(0)),
)
deadline_option = setting(
    "--deadline",
    "Seconds that the job may take, over all attempts.  [default: no limit]",
    FAILURES,
    type=click.IntRange(1),
    show_default=False,
)
stopping_options = composed(
    setting(
        "--stall-seconds",
        "End the job after its ranks have waited this many seconds for one of them.",
        FAILURES,
        type=click.IntRange(1),
    ),
    setting(
        "--grace-seconds",
        "Seconds for a checkpoint between the request to stop a pod and its end.",
        FAILURES,
        type=click.IntRange(15),
    ),
)
file_options = composed(
    option("--out", "Write the manifest here.  [default: standard output]", FILES, type=click.Path(path_type=Path)),
    option(
        ("--check", "files"),
        f"Check a manifest instead of writing one, of any of {', '.join(CHECKED)}; repeatable; - is standard input.",
        FILES,
        type=click.File("rb"),
        multiple=True,
        metavar="FILE",
    ),
    option(
        ("--crd", "definitions"),
        "The operator's definition to check against; repeatable.  [default: the fields in this program]",
        FILES,
        type=click.File("rb"),
        multiple=True,
        envvar=CRD,
        show_envvar=True,
    ),
)


def run(
    make: Callable[[Job], Sequence[dict[str, Any]]],
    values: Mapping[str, Any],
    command: Sequence[str],
    out: Path | None,
    files: Sequence[Any],
    definitions: Sequence[Any],
) -> None:
    """Writes the manifests that ``make`` makes of a job with these values, or checks files if there are any.

    Raises:
        click.UsageError: this program would refuse the command.
        ConfigurationError: the job could not run, a file has errors, or there are files and a command.
    """
    context = click.get_current_context()
    if files:
        if command:
            raise ConfigurationError("--check takes no COMMAND; leave out one of them")
        check(files, definitions, context)
        return
    job = Job(**values)
    job = replace(job, command=completed(job, command, context))
    write(make(job), context, out)


def write(manifests: Sequence[dict[str, Any]], context: click.Context, out: Path | None) -> None:
    """Writes manifests, with the command that made them, to a file or to standard output.

    Raises:
        ConfigurationError: the job could not run, or the file cannot be written.
    """
    found = [finding for each in manifests for finding in _findings(each, manifests, {})]
    if errors := [f"{finding.path}: {finding.text}" for finding in found if finding.kind == mpijob.ERROR]:
        raise ConfigurationError("this job could not run: " + "; ".join(errors))
    text = mpijob.dump(manifests, [PROGRAM, str(context.info_name), *context.meta["words"]])
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {out}: {error.strerror}; choose another --out") from error


def completed(job: Job, words: Sequence[str], context: click.Context) -> tuple[str, ...]:
    """Returns a command with what it needs in a cluster; the user's own words stay.

    Raises:
        click.UsageError: this program would refuse the command.
        ConfigurationError: it could not run in the job.
    """
    words = _without_plugins(words)
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
    return (*path, *own, *plugins.words(), *words[len(path) :])


def _without_plugins(words: Sequence[str]) -> list[str]:
    """Returns a command line of this program without the options of plugins, which are obeyed already.

    Raises:
        ConfigurationError: they are not; words of a manifest, or after ``--``, import nothing.
    """
    named, others = split(words)
    for word in named:
        given = word.removeprefix(f"{plugins.OPTION}=")
        if given != plugins.OPTION and given not in plugins.words():
            own = [given] if given == plugins.CHANGED else [plugins.OPTION, given]
            raise ConfigurationError(
                f"the command needs {shown(shlex.join(own))}, which no manifest is obeyed for here; "
                "if you trust it, give it before `--`, too"
            )
    return others


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


def check(files: Sequence[Any], definitions: Sequence[Any], context: click.Context) -> None:
    """Prints the faults of all manifests in files, each in a line; jobs are checked together with their runtimes.

    Args:
        files: open files.
        definitions: open files with custom resource definitions, which replace those of the package.
        context: the command's.

    Raises:
        ConfigurationError: there are errors.
    """
    strict = {
        kind: schema.strict(found)
        for file in definitions
        for kind, found in schema.read(_documents(file), _path(file)).items()
    }
    documents = [(file, number, each) for file in files for number, each in enumerate(_documents(file), start=1)]
    everything = [document for _, _, document in documents if isinstance(document, Mapping)]
    errors = 0
    for file, number, document in documents:
        kind = document.get("kind") if isinstance(document, Mapping) else None
        title = shortened(f"{kind or 'document'} {_name(document) or number}")
        place = f"{_path(file)}: {title}"
        if kind is None or mpijob.is_job(document) or trainjob.is_ours(document):
            found = [*_findings(document, everything, strict), *_command_findings(document, everything, context)]
            errors += sum(finding.kind == mpijob.ERROR for finding in found)
            click.echo("\n".join(f"{place}: {finding}" for finding in found) or f"{place}: ok")
        else:
            click.echo(f"{place}: passed over, it is no {', '.join(CHECKED[:-1])} or {CHECKED[-1]}")
    if errors:
        raise ConfigurationError(
            f"{errors} {'error' if errors == 1 else 'errors'}; repair what is listed and check again"
        )


def _findings(
    document: Any, everything: Sequence[Mapping[str, Any]], strict: Mapping[str, Schema]
) -> Sequence[Finding]:
    if isinstance(document, Mapping) and trainjob.is_ours(document):
        return trainjob.check(document, _runtimes(everything), strict.get(str(document.get("kind"))))
    return mpijob.check(document, strict.get(mpijob.KIND))


def _runtimes(everything: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [each for each in everything if trainjob.is_runtime(each)]


def _documents(file: Any) -> list[Any]:
    return mpijob.load(read_stream(file, _path(file)), _path(file))


def _path(file: Any) -> str:
    return str(getattr(file, "name", "<stdin>"))


def _name(document: Any) -> Any:
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return metadata.get("name") if isinstance(metadata, Mapping) else None


def _command_findings(
    document: Any, everything: Sequence[Mapping[str, Any]], context: click.Context
) -> Sequence[Finding]:
    """Returns what is wrong with the words that the job's launcher gives this program, and with its run's folder."""
    if not isinstance(document, Mapping):
        return []
    training = trainjob.joined(document, _runtimes(everything)) if trainjob.is_ours(document) else None
    launch = _launch(document, training)
    if launch is None or launch.command is None:
        return []
    ranks = launch.ranks if isinstance(launch, Launch) else None
    try:
        with redirect_stdout(StringIO()):  # it may ask for help
            _, inner = _parsed(_without_plugins(launch.command), context)
            _check_training(inner, training.ranks if training else ranks or 1)
    except (click.UsageError, ConfigurationError) as error:
        text = error.format_message() if isinstance(error, click.UsageError) else str(error)
    except click.exceptions.Exit:
        text = "asks for help, and trains nothing"
    else:
        if training is None or not isinstance(inner.command, TaskCommand):
            return []
        folder = inner.params["resume"] or inner.params["out"]
        return folder_findings(training, None if folder is None else str(folder))
    place = COMMAND if training else rules.MAIN
    return [Finding(place, f"`{shlex.join([PROGRAM, *launch.command])}`: {text}")]


def _launch(document: Mapping[str, Any], training: trainjob.Training | None) -> Launch | TorchLaunch | None:
    """Returns the parsed command of a job's launcher; None if there is none, or a check has found it malformed."""
    try:
        if trainjob.is_ours(document):
            return training.launch() if training else None
        return rules.launch(document)
    except ValueError:
        return None
