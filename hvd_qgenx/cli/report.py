"""hvd-qgenx report"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import ConfigurationError

if TYPE_CHECKING:
    from hvd_qgenx.report import Comparison, Row
    from hvd_qgenx.report.published import Published
    from hvd_qgenx.report.replication import Replication


@click.command("report")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the page.  [default: report, where the runs lie, or report-2 if that shows other runs]",
)
@click.option("--title", default="hvd-qgenx", show_default=True, help="Title of the page.")
@click.option("--score", help="The score to show first, like fid.  [default: the first there is]")
@click.option(
    "--published",
    type=click.Path(path_type=Path),
    metavar="SWEEP",
    help="A sweep's file, whose [published] values are laid beside the results of its modes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON, and nothing else, on standard output.")
def report_command(
    paths: Sequence[Path], out: Path | None, title: str, score: str | None, published: Path | None, as_json: bool
) -> None:
    """Compare runs on one page: scores against updates, seconds and MB, and where time goes.

    \b
    Examples:
      hvd-qgenx report runs/none-0 runs/none-1 runs/uq4-0 runs/uq4-1
      hvd-qgenx report runs/sweep --out page --score fid
      hvd-qgenx report runs/choco-table1 --published jobs/sweeps/choco-table1.toml

    RUN is a run's folder, or a folder that holds such, however deep. Runs that differ in nothing but the
    seed are one group; --compressor none is what ratios are taken to. Runs that are hard to compare are
    drawn all the same, and the page says in what they differ. Runs that are damaged or have no results are
    left out with a warning. Writes index.html, which holds all its pictures, and the pictures as PNG.
    """
    from hvd_qgenx.report import compare, find, page, place, rows, text
    from hvd_qgenx.report.replication import replicate

    with exit_codes():
        require_alone()
        values = _published(published) if published else None
        errors: list[ConfigurationError] = []
        records = find(paths, errors.append)
        if not records:
            raise _nothing(errors)
        replication = replicate(values, records) if values else None
        comparison = compare(records, score, [f"Left out: {error}." for error in errors])
        runs = [record.path for record in records]
        folder, notes = place.choose(out, runs)
        written = page.write(comparison, folder, title, replication)
    found = rows(comparison)
    warnings = [*comparison.obstacles, *comparison.remarks, *notes]
    if as_json:
        click.echo(json.dumps(_as_dict(comparison, found, written, replication, warnings), indent=2))
        return
    click.echo(text.terminal(text.main(comparison, found)), nl=False)
    if replication:
        click.echo(f"\n{replication.published.title}\n{text.terminal(text.replication(replication))}", nl=False)
        click.echo(replication.conclusion)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"page and pictures in {folder}: {written}")


def _nothing(errors: Sequence[ConfigurationError]) -> ConfigurationError:
    """Returns the error of folders of which none can be reported on."""
    count = f"none of {len(errors)} folders can be reported on; " if len(errors) > 1 else ""
    return ConfigurationError(f"{count}{errors[0]}")


def _published(path: Path) -> Published:
    """Reads the published values in a sweep's file."""
    from hvd_qgenx.sweep import Sweep, read

    sweep = read(path)
    if not isinstance(sweep, Sweep) or sweep.published is None:
        raise ConfigurationError(f"{path} has no table [published]")
    return sweep.published


def _as_dict(
    comparison: Comparison,
    found: Sequence[Row],
    written: Path,
    replication: Replication | None,
    warnings: Sequence[str],
) -> dict[str, Any]:
    return {
        "page": str(written),
        "score": comparison.score,
        "groups": [row.as_dict() for row in found],
        "warnings": warnings,
        **({"published": replication.as_dict()} if replication else {}),
    }
