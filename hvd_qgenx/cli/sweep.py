"""hvd-qgenx sweep"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx.cli.report import report_command
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.errors import ConfigurationError, TrainingError
from hvd_qgenx.transport import launcher_rank

if TYPE_CHECKING:
    from hvd_qgenx.sweep import Failure, Job

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


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
    """
    from hvd_qgenx import sweep as sweeps
    from hvd_qgenx.sweep.process import alone, program, terminated_as_interrupted

    with exit_codes():
        if launcher_rank() is not None:
            raise ConfigurationError("a sweep starts ranks itself; call it by itself, with `launch` in its file")
        wanted = sweeps.read(file)
        wanted = replace(wanted, out=out or wanted.out, modes=_labelled(wanted.modes, label))
        jobs = sweeps.plan(wanted)
        command = [*_launcher(wanted.launch), program("hvd-qgenx"), wanted.task.task]
        if dry_run:
            click.echo("\n".join(_describe(job, command) for job in jobs))
            return
        with alone(wanted.out) as lock, terminated_as_interrupted():
            failures = _drive(jobs, command, lock)
            _report(jobs, wanted.out)
        if failures:
            listing = ", ".join(f"{failure.job.name} (exit code {failure.code})" for failure in failures)
            raise TrainingError(f"{len(failures)} of {len(jobs)} runs failed: {listing}; see their logs")


def _labelled(modes: Mapping[str, Mapping[str, Any]], label: str | None) -> Mapping[str, Mapping[str, Any]]:
    return {mode: {**settings, "label": label} for mode, settings in modes.items()} if label else modes


def _launcher(words: Sequence[str]) -> list[str]:
    from hvd_qgenx.sweep.process import program

    return [program(words[0]), *words[1:]] if words else []


def _describe(job: Job, command: Sequence[str]) -> str:
    from hvd_qgenx.sweep import Standing

    if job.standing() is Standing.DONE:
        return f"# {job.folder.path} is done"
    return shlex.join([*command, *job.words()])


def _drive(jobs: Sequence[Job], command: Sequence[str], lock: int) -> list[Failure]:
    from hvd_qgenx import sweep as sweeps

    try:
        return sweeps.drive(jobs, command, [lock])
    except KeyboardInterrupt:
        click.echo("Stopped; the same command goes on from the last checkpoint.", err=True)
        raise SystemExit(STOPPED) from None


def _report(jobs: Sequence[Job], out: Path) -> None:
    """Reports on the runs that are done."""
    from hvd_qgenx.sweep import Standing

    done = [job.folder.path for job in jobs if job.standing() is Standing.DONE]
    click.echo(f"{len(done)} of {len(jobs)} runs are done", err=True)
    if done:
        click.get_current_context().invoke(report_command, paths=done, out=out / "report", title=out.name)
