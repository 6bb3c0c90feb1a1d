"""hvd-qgenx doctor"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import compressors
from hvd_qgenx.bench.registry import MODELS
from hvd_qgenx.cli import options
from hvd_qgenx.cli.bench import Count
from hvd_qgenx.cli.session import exit_codes
from hvd_qgenx.errors import ConfigurationError, LocalError, TrainingError, configuration_errors
from hvd_qgenx.transport import Transport, launched, launcher_rank
from hvd_qgenx.transport.agreement import on_all_ranks
from hvd_qgenx.transport.environment import DATA
from hvd_qgenx.transport.launcher import launched_local_size, started_by_torch

if TYPE_CHECKING:
    from compressors import Compressor
    from hvd_qgenx.bench.workloads import Workload
    from hvd_qgenx.doctor.finding import Finding
    from hvd_qgenx.doctor.measurement import Measurement

COMPRESSORS = ("fp16", "minmax:bits=8", "minmax:bits=4", "minmax:bits=2", "rotated:bits=2")


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    envvar=DATA,
    show_envvar=True,
    help="Folder of data sets.",
)
@click.option("--model", type=click.Choice(list(MODELS)), help="Its gradients are exchanged.  [default: gan]")
@click.option("--numel", type=Count(), help="One matrix of so many coordinates, in place of a model.")
@click.option(
    "--compressor",
    "texts",
    multiple=True,
    default=COMPRESSORS,
    show_default=True,
    help=f"One of {options.COMPRESSORS}; repeatable. none is always there.",
)
@click.option(
    "--most-error",
    type=click.FloatRange(0),
    default=0.2,
    show_default=True,
    help="A compressor whose squared error is a larger share of the squared norm, on normal numbers, is not chosen.",
)
@click.option("--seconds", type=click.FloatRange(0.1), default=20.0, show_default=True, help="For all measurements.")
@click.option(
    "--megabytes",
    type=click.FloatRange(1),
    default=2000.0,
    show_default=True,
    help="MB that one rank may send for measurements.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the findings into this file; - prints them.",
)
@options.launcher_options
def doctor(**values: Any) -> None:
    """Say what is missing or misconfigured, and how to fix it; measure ranks and links, and advise.

    \b
    Examples:
      hvd-qgenx doctor
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx doctor --model resnet18
      horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx doctor --numel 25e6 --compressor minmax:bits=4 --seconds 30

    Under horovodrun all ranks check, and findings that differ are listed with their ranks. Then the ranks measure links
    and codecs, rehearse exchanges of the model's gradients, and say how long each takes and which to use. The exit
    code is 1 if a finding is an error.
    """
    from rich.console import Console

    from hvd_qgenx.doctor import report
    from hvd_qgenx.doctor.checks import ALIKE, CHECKS
    from hvd_qgenx.doctor.finding import ERROR, Place, examine, merged
    from hvd_qgenx.transport.cores import share_cores

    with exit_codes() as session:
        rank = launcher_rank()
        needs_horovod = rank is not None and not started_by_torch()
        mine = examine(CHECKS, Place(values["data_dir"], Path("runs"), rank, launched_local_size(), needs_horovod))
        if needs_horovod:
            _require_transport(rank, mine)
        session.transport = transport = launched()
        findings = merged(transport.all_gather_object(mine, "doctor.findings"), ALIKE)
        printed = transport.rank == 0 and values["json_file"] != Path("-")
        colour = None if rank is None else False  # a launcher does not say what it does with its ranks' output
        console = Console(highlight=False, soft_wrap=True, quiet=not printed, force_terminal=colour)
        console.print(*report.lines(findings), sep="\n")
        session.initialize(values["expect_ranks"], values["expect_hosts"], transport)
        made = on_all_ranks(transport, "doctor.options", lambda: _compressors(values["texts"]))
        workload = on_all_ranks(transport, "doctor.model", lambda: _workload(values["model"], values["numel"]))
        found = None
        if transport.size > 1:
            share_cores(transport)
            found = _measure(transport, workload, made, values)
            remarks = report.remarks(found)
            findings += remarks
            console.print(*report.lines(remarks), report.links(found), sep="\n")
            told = report.codecs(found).text(), report.forecasts(found).text(), report.advice(found)
            console.print("", *told, sep="\n")
        elif rank is not None:
            console.print("One rank alone exchanges nothing: nothing is measured.")
        if transport.rank == 0 and values["json_file"]:
            _write(values["json_file"], report.as_dict(findings, found))
        errors = [finding.subject for finding in findings if finding.level == ERROR]
        if errors:
            raise TrainingError(f"these checks failed: {', '.join(errors)}; see how to fix them above")


def _require_transport(rank: int | None, findings: Sequence[Finding | None]) -> None:
    """Raises LocalError, after the findings were printed, if this rank cannot join the others."""
    from rich.console import Console

    from hvd_qgenx.doctor import report
    from hvd_qgenx.doctor.checks import NEEDED
    from hvd_qgenx.doctor.finding import ERROR

    fatal = [found for found in findings if found and found.subject in NEEDED and found.level == ERROR]
    if fatal:
        Console(highlight=False, soft_wrap=True, stderr=True).print(*report.lines(fatal), sep="\n")
        raise LocalError(f"rank {rank} on {socket.gethostname()} cannot join the others: see above")


def _compressors(texts: Sequence[str]) -> dict[str, Compressor]:
    with configuration_errors():
        return {text: compressors.parse(text) for text in texts if text != "none"}


def _workload(model: str | None, numel: int | None) -> Workload:
    from hvd_qgenx.bench import workloads

    if model and numel:
        raise ConfigurationError("--model and --numel both say what is exchanged; give one")
    name = model or "gan"
    return workloads.vector(numel) if numel else workloads.Workload(name, MODELS[name]())


def _measure(
    transport: Transport, workload: Workload, made: dict[str, Compressor], values: dict[str, Any]
) -> Measurement:
    from hvd_qgenx.doctor import measurement

    return measurement.measure(
        transport,
        workload,
        made,
        seconds=values["seconds"],
        most_bytes=1e6 * values["megabytes"],
        most_error=values["most_error"],
    )


def _write(path: Path, found: dict[str, Any]) -> None:
    from hvd_qgenx.runs.folder import write_json

    if path == Path("-"):
        click.echo(json.dumps(found, indent=2))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
