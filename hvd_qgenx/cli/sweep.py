"""hvd-qgenx sweep"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx import plugins
from hvd_qgenx.cli.report import report_command
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.errors import ConfigurationError, TrainingError
from hvd_qgenx.reading import naming
from hvd_qgenx.signals import SECONDS, Stopped, as_stopped, raised
from hvd_qgenx.transport import launcher_rank

if TYPE_CHECKING:
    from hvd_qgenx.sweep import Command, Commands, Entry, Failure, Job, Sweep


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the runs.  [default: what FILE says]")
@click.option("--label", metavar="TEXT", help="Label of all runs, like the rate of the links between hosts.")
@click.option("--dry-run", is_flag=True, help="Print the commands, and run none.")
def sweep(file: Path, out: Path | None, label: str | None, dry_run: bool) -> None:
    """Train with every preset and every seed of a TOML file, then report on all runs together.

    \b
    Examples:
      hvd-qgenx sweep jobs/sweeps/smoke.toml
      hvd-qgenx sweep jobs/sweeps/compression.toml --dry-run
      hvd-qgenx sweep jobs/sweeps/hosts.toml --out runs/ethernet --label "1 gbit"

    A sweep that was stopped goes on with the same command: runs that are done are kept, others go on from
    their checkpoint. Every run is a folder OUT/MODE-seedN with its log beside it; the report is OUT/report.
    A file may hold other commands instead, like those of `hvd-qgenx logistic`; their page is OUT/report too.
    """
    from hvd_qgenx import sweep as sweeps

    with exit_codes():
        if launcher_rank() is not None:
            raise ConfigurationError("a sweep starts ranks itself; call it by itself, with `launch` in its file")
        wanted = sweeps.read(file)
        wanted = replace(wanted, out=out or wanted.out)
        if isinstance(wanted, sweeps.Commands):
            if label:
                raise ConfigurationError("--label is for training runs, and this file holds other commands")
            _sweep_commands(wanted, file, dry_run)
        else:
            _sweep_runs(replace(wanted, modes=_labelled(wanted.modes, label)), file, dry_run)


def _sweep_runs(wanted: Sweep, file: Path, dry_run: bool) -> None:
    from hvd_qgenx import sweep as sweeps
    from hvd_qgenx.sweep.process import program

    with naming(file):
        jobs = sweeps.plan(wanted)
    command = [*_launcher(wanted.launch), program("hvd-qgenx"), *plugins.words(), wanted.task.task]
    failures = _drive(jobs, command, wanted.out, dry_run)
    if failures is None:
        return
    _report(jobs, wanted, file)
    reasons = [f"{failure.job.name} (exit code {failure.code})" for failure in failures]
    reasons += [] if wanted.may_diverge else [f"{job.name} ({job.divergence})" for job in _diverged(jobs)]
    _require_none("runs", len(jobs), reasons)


def _sweep_commands(wanted: Commands, file: Path, dry_run: bool) -> None:
    from hvd_qgenx import sweep as sweeps
    from hvd_qgenx.sweep.process import program

    with naming(file):
        commands = sweeps.plan_commands(wanted)
    for command in commands:
        _require_parsed(command, file)
    command_line = [*_launcher(wanted.launch), program("hvd-qgenx"), *plugins.words()]
    failures = _drive(commands, command_line, wanted.out, dry_run)
    if failures is None:
        return
    _show_outputs(commands, wanted.out)
    reasons = [f"{failure.job.name} (exit code {failure.code})" for failure in failures]
    _require_none("commands", len(commands), reasons)


def _require_none(what: str, count: int, failed: Sequence[str]) -> None:
    if failed:
        raise TrainingError(f"{len(failed)} of {count} {what} failed: {', '.join(failed)}; see their logs")


def _require_parsed(command: Command, file: Path) -> None:
    """Raises ConfigurationError if the words of a command are none of ``hvd-qgenx``."""
    context = click.get_current_context().find_root()
    name, *words = command.words()
    try:
        found = context.command.get_command(context, name) if isinstance(context.command, click.Group) else None
        if found is None:
            raise click.UsageError(f"there is no command {name!r}")
        found.make_context(name, words, parent=context)
    except click.UsageError as error:
        raise ConfigurationError(f"{file}: commands.{command.name}: {error.format_message()}") from error


def _labelled(modes: Mapping[str, Mapping[str, Any]], label: str | None) -> Mapping[str, Mapping[str, Any]]:
    return {mode: {**settings, "label": label} for mode, settings in modes.items()} if label else modes


def _launcher(words: Sequence[str]) -> list[str]:
    from hvd_qgenx.sweep.process import program

    return [program(words[0]), *words[1:]] if words else []


def _describe(job: Entry, command: Sequence[str]) -> str:
    standing = job.standing()
    if standing.ended:
        return f"# {job.folder.path} {'is done' if standing.value == 'done' else 'has diverged'}"
    return shlex.join([*command, *job.words()])


def _drive(jobs: Sequence[Entry], command: Sequence[str], out: Path, dry_run: bool) -> list[Failure] | None:
    """Runs what is left and returns the failures; or prints it, and returns None."""
    from hvd_qgenx import sweep as sweeps
    from hvd_qgenx.sweep.process import GRACE, alone

    if dry_run:
        click.echo("\n".join(_describe(job, command) for job in jobs))
        return None
    with alone(out) as lock, raised(GRACE + SECONDS):
        try:
            return sweeps.drive(jobs, command, [lock])
        except KeyboardInterrupt as interrupt:
            number = as_stopped(interrupt).number
            raise Stopped(number, "; the same command goes on from the last checkpoint") from None


def _diverged(jobs: Sequence[Job]) -> list[Job]:
    from hvd_qgenx.sweep import Standing

    return [job for job in jobs if job.standing() is Standing.DIVERGED]


def _report(jobs: Sequence[Job], wanted: Sweep, file: Path) -> None:
    """Reports on the runs that have ended."""
    ended = [job.folder.path for job in jobs if job.standing().ended]
    diverged = len(_diverged(jobs))
    click.echo(f"{len(ended) - diverged} of {len(jobs)} runs are done", err=True)
    if diverged:
        click.echo(f"{diverged} {'has' if diverged == 1 else 'have'} diverged", err=True)
    if ended:
        click.get_current_context().invoke(
            report_command,
            paths=ended,
            out=wanted.out / "report",
            title=wanted.out.name,
            published=file if wanted.published else None,
        )


def _show_outputs(commands: Sequence[Command], out: Path) -> None:
    """Writes the page of the commands that are done."""
    from hvd_qgenx.report import outputs

    done = [command for command in commands if command.standing().ended]
    click.echo(f"{len(done)} of {len(commands)} commands are done", err=True)
    if done:
        (out / "report").mkdir(exist_ok=True)
        found = [
            outputs.Output(
                command.name, shlex.join(["hvd-qgenx", *command.arguments]), command.printed(), command.folder.path
            )
            for command in done
        ]
        click.echo(f"page in {outputs.write(found, out / 'report', out.name)}")
