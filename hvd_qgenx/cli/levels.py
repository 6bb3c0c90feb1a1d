"""hvd-qgenx levels"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from compressors.kernels.layout import ORDERS
from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.levels.registry import DISTRIBUTIONS


@click.command()
@click.option("--bits", type=click.IntRange(2, 8), multiple=True, default=(4,), help="Repeatable.  [default: 4]")
@click.option("--bucket-size", type=click.IntRange(1), default=1024, show_default=True)
@click.option("--norm", type=click.Choice(list(ORDERS)), default="l2", show_default=True, help="Norm of a bucket.")
@click.option(
    "--distribution",
    type=click.Choice(list(DISTRIBUTIONS)),
    help="Distribution of independent coordinates.  [default: gaussian]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the coordinates.")
@click.option(
    "--gradients",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Take coordinates from this .pt or .npy file instead: a tensor, or tensors by name. Repeatable.",
)
@click.option(
    "--levels-by",
    metavar="RULE",
    help="With --gradients: fit levels to groups of tensors: kind, kinds of layers; tensor, each alone; or "
    "NAME=PATTERN,... with patterns of names.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/levels-TIME]")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else.")
def levels(**values: Any) -> None:
    """Compare level sets: their levels, errors, bounds, and bits of a coordinate.

    \b
    Examples:
      hvd-qgenx levels
      hvd-qgenx levels --bits 2 --bits 3 --bits 4 --norm linf --distribution laplace
      hvd-qgenx gan --gradients-at 10,100 --out run && hvd-qgenx levels --gradients run/gradients/000100.pt

    With --levels-by, levels are fitted to each group of tensors, and evaluated on it:

    \b
      hvd-qgenx levels --gradients run/gradients/000100.pt --bits 3 --levels-by kind

    Uniform, exponential and ternary levels, and those of alq, alq-gd and amq, fitted to a mixture of
    normals and to the histogram of the coordinates. Writes levels.json, levels.png, config.json and summary.json.
    """
    from hvd_qgenx.levels import figure
    from hvd_qgenx.levels.comparison import compare, compare_groups
    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.runs.folder import write_json

    with exit_codes():
        require_alone()
        if values["levels_by"] and not values["files"]:
            raise click.UsageError("--levels-by is for the tensors of files; give --gradients")
        source, vectors = (_groups if values["levels_by"] else _vectors)(values)
        folder = RunFolder(values["out"] or Path(f"runs/levels-{datetime.now():%Y%m%d-%H%M%S}"))
        folder.create({**values, "files": [str(path) for path in values["files"]], "out": str(folder.path)})
        bits = list(dict.fromkeys(values["bits"]))
        compared: Any = compare_groups if values["levels_by"] else compare
        comparison = compared(source, vectors, bits, values["bucket_size"], values["norm"])
        write_json(folder.path / "levels.json", comparison.as_dicts())
        figure.draw(comparison, folder.path / "levels.png")
        write_json(folder.summary, {"source": source, "levels": comparison.as_dicts()})
        click.echo(
            json.dumps(comparison.as_dicts())
            if values["as_json"]
            else f"{comparison.tables(width=110)}all levels and a picture in {folder.path}"
        )


def _groups(values: dict[str, Any]) -> tuple[str, dict[str, list[Any]]]:
    """Returns the name of the source of coordinates, and the vectors of every group of tensors."""
    from hvd_qgenx.levels import layers, sources

    groups: dict[str, list[Any]] = {}
    for path in values["files"]:
        for group, vector in layers.by_group(sources.read_groups(path, values["levels_by"])).items():
            groups.setdefault(group, []).append(vector)
    return ", ".join(path.name for path in values["files"]), groups


def _vectors(values: dict[str, Any]) -> tuple[str, list[Any]]:
    """Returns the name of the source of coordinates, and their vectors."""
    from hvd_qgenx.levels import sources

    files = values["files"]
    if not files:
        name = values["distribution"] or "gaussian"
        return name, [sources.draw(name, values["seed"])]
    if values["distribution"]:
        raise ConfigurationError("coordinates come from --distribution or from --gradients; leave one of them out")
    return ", ".join(path.name for path in files), [sources.read(path) for path in files]
