"""hvd-qgenx measure"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compressors.text import at_widths
from hvd_qgenx.cli import options
from hvd_qgenx.cli.session import exit_codes, require_alone
from hvd_qgenx.errors import configuration_errors
from hvd_qgenx.levels.registry import DISTRIBUTIONS
from hvd_qgenx.training.config import LAYER_BITS

if TYPE_CHECKING:
    from torch import Tensor

    from compressors import Compressor
    from hvd_qgenx.runs import RunFolder

DEFAULT = (
    *("uniform", "uniform:norm=linf", "minmax", "nuqsgd", "nuqsgd:norm=linf"),
    *("alq", "alq:norm=linf", "alq:zero=no", "amq"),
    *("dither", "rotated-dither", "rotated", "variable", "variable:weighting=per-layer"),
)


@click.command(name="measure")
@click.option(
    "--gradients",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A .pt or .npy file, as `gan --gradients-at` saves; repeatable.  [default: --distribution gaussian]",
)
@click.option("--mean", "as_ranks", is_flag=True, help="The files are gradients of ranks: measure their mean's error.")
@click.option(
    "--exchange",
    type=click.Choice(["allgather", "two-phase"]),
    default="allgather",
    show_default=True,
    help="With --mean: how the mean is made; two-phase compresses it once more.",
)
@click.option("--distribution", "names", multiple=True, help=f"One of {', '.join(DISTRIBUTIONS)}; repeatable.")
@click.option(
    "--compressor",
    "specs",
    multiple=True,
    help=f"One of {options.COMPRESSORS}; repeatable.  [default: {', '.join(DEFAULT)}, where they can have --bits]",
)
@click.option("--bits", multiple=True, type=options.number, default=(2, 3, 4, 8), show_default=True, help="Repeatable.")
@click.option(
    "--levels-by",
    metavar="RULE",
    help="Errors by groups of the tensors of each file: kind, kinds of layers; tensor, each alone; or NAME=PATTERN,... "
    "with patterns of names. Compressors with adaptive levels also have levels of every group's own.",
)
@click.option(
    "--layer-bits",
    type=click.Choice(LAYER_BITS),
    default="equal",
    show_default=True,
    help="With --levels-by: bits of the groups, as in a run.",
)
@click.option("--player", type=click.Choice(["generator", "discriminator"]), help="Only the tensors of this player.")
@click.option("--draws", type=click.IntRange(1), default=3, show_default=True, help="Compressions to average over.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: runs/measure-TIME]")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON and nothing else.")
def measure_command(**values: Any) -> None:
    """Measure the error and the bits of compressors, on saved gradients or on a named distribution.

    \b
    Examples:
      hvd-qgenx measure
      hvd-qgenx gan --dataset cifar10 --compressor none --updates 100 --gradients-at 10,50,100 --out runs/g
      hvd-qgenx measure --gradients runs/g/gradients/000010.pt --gradients runs/g/gradients/000100.pt --bits 2.5

    Every rank of a run saves its own gradients; --mean compresses each, and compares the mean with the exact one:

    \b
      hvd-qgenx measure --mean --gradients runs/g/gradients/000100.pt --gradients runs/g/gradients/000100-rank1.pt

    As in a run, tensors with one dimension or fewer than 256 elements are left out: they are sent as they
    are. Writes measure.csv, measure.png and summary.json.

    \b
      hvd-qgenx measure --gradients runs/g/gradients/000100.pt --compressor alq --bits 3 --levels-by kind
    """
    from tqdm import tqdm

    from hvd_qgenx.levels import costs, measure_figure
    from hvd_qgenx.levels.measure import measure_mean
    from hvd_qgenx.runs import RunFolder
    from hvd_qgenx.runs.folder import write_json

    with exit_codes():
        require_alone()
        if values["exchange"] != "allgather" and not values["as_ranks"]:
            raise click.UsageError("--exchange is for the mean of ranks; give --mean and the gradients of every rank")
        if values["levels_by"] and (values["as_ranks"] or values["names"] or not values["files"]):
            raise click.UsageError("--levels-by is for the tensors of files; give --gradients, and no --mean")
        if values["layer_bits"] != "equal" and not values["levels_by"]:
            raise click.UsageError("--layer-bits is for groups of tensors; give --levels-by")
        with configuration_errors():
            made = _compressors(values["specs"], values["bits"], values["seed"])
        vectors = {} if values["levels_by"] else _sources(values)
        members = _members(values) if values["levels_by"] else {}
        folder = RunFolder(values["out"] or Path(f"runs/measure-{datetime.now():%Y%m%d-%H%M%S}"))
        specs, files = list(dict.fromkeys(spec for spec, _, _ in made)), [str(path) for path in values["files"]]
        folder.create({**values, "specs": specs, "files": files, "out": str(folder.path)})
        todo = [(source, *one) for source in vectors or members for one in made]
        if members:
            click.echo(_measure_layers(values, members, todo, folder))
            return
        found = {
            (source, name, setting): measure_mean(
                compressor.for_rank(0), vectors[source], values["draws"], values["exchange"]
            )
            for source, name, setting, compressor in tqdm(todo, "measuring", leave=False, delay=1)
        }
        costs.write_csv(found, folder.path / "measure.csv")
        measure_figure.draw(found, folder.path / "measure.png")
        write_json(folder.summary, {"rows": costs.rows(found)})
        table = json.dumps(costs.rows(found)) if values["as_json"] else costs.tables(found, width=110)
        click.echo(table if values["as_json"] else f"{table}table and picture in {folder.path}")


def _measure_layers(
    values: dict[str, Any],
    members: "dict[str, list[tuple[str, Tensor]]]",
    todo: "list[tuple[str, str, str, Compressor]]",
    folder: "RunFolder",
) -> str:
    """Measures by groups of tensors; returns what is printed."""
    from tqdm import tqdm

    from hvd_qgenx.levels import layers
    from hvd_qgenx.runs.folder import write_json

    found = [
        cost
        for source, name, setting, compressor in tqdm(todo, "measuring", leave=False, delay=1)
        for cost in layers.measure_layers(
            (source, name, setting), compressor, members[source], values["draws"], values["layer_bits"]
        )
    ]
    layers.write_csv(found, folder.path / "measure.csv")
    layers.draw(found, folder.path / "measure.png")
    write_json(folder.summary, {"rows": layers.as_dicts(found)})
    if values["as_json"]:
        return json.dumps(layers.as_dicts(found))
    return f"{layers.tables(found, width=110)}table and picture in {folder.path}"


def _members(values: dict[str, Any]) -> "dict[str, list[tuple[str, Tensor]]]":
    """Returns the tensors of every file, with their groups."""
    from hvd_qgenx.levels import sources

    return {str(path): sources.read_groups(path, values["levels_by"], values["player"]) for path in values["files"]}


def _compressors(specs: Sequence[str], widths: Sequence[float], seed: int) -> "list[tuple[str, str, Compressor]]":
    """Makes the compressors at these widths; of the default ones those that can have any.

    Raises:
        ValueError: one that was named cannot be made, or none.
    """
    if specs:
        return at_widths(specs, widths, seed)
    made, errors = [], []
    for spec in DEFAULT:
        try:
            made += at_widths([spec], widths, seed)
        except ValueError as error:
            errors.append(error)
    if not made:
        raise errors[0]
    return made


def _sources(values: dict[str, Any]) -> "dict[str, list[list[Tensor]]]":
    """Returns the tensors that each rank compresses, by the name of their distribution or file."""
    from hvd_qgenx.levels import sources

    if values["as_ranks"]:
        return {f"mean of {len(values['files'])} ranks": sources.read_ranks(values["files"], values["player"])}

    names = values["names"] or (() if values["files"] else ("gaussian",))
    drawn = {name: [[sources.draw(name, values["seed"])]] for name in names}
    return drawn | {str(path): [sources.read_compressible(path, values["player"])] for path in values["files"]}
