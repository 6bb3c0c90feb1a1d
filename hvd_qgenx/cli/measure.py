"""hvd-qgenx measure"""

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from torch import Tensor
from tqdm import tqdm

import compressors
from compressors import Exempt
from compressors.naming import unknown
from hvd_qgenx.cli import options
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.levels import sources
from hvd_qgenx.levels.measure import Measurement, measure
from hvd_qgenx.runs import RunFolder

COLUMNS = ("source", "compressor", "setting", "error", "bits", "huffman", "entropy", "bound")

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
@click.option("--distribution", "names", multiple=True, help=f"One of {', '.join(sources.DISTRIBUTIONS)}; repeatable.")
@click.option("--compressor", "specs", multiple=True, default=DEFAULT, help="NAME or NAME:PARAMETER=VALUE; repeatable.")
@click.option("--bits", multiple=True, type=options.number, default=(2, 3, 4, 8), show_default=True, help="Repeatable.")
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

    As in a run, tensors with one dimension or fewer than 256 elements are left out: they are sent as they
    are. Writes measure.csv and measure.png.
    """
    with options.exit_codes():
        options.require_alone()
        made = options.compressors_at(values["specs"], values["bits"], values["seed"])
        vectors = _sources(values)
        folder = RunFolder(values["out"] or Path(f"runs/measure-{datetime.now():%Y%m%d-%H%M%S}"))
        folder.create({**values, "files": [str(path) for path in values["files"]], "out": str(folder.path)})
        todo = [(source, *one) for source in vectors for one in made]
        found = {
            (source, name, setting): measure(compressor.for_rank(0), vectors[source], values["draws"])
            for source, name, setting, compressor in tqdm(todo, "measuring", leave=False, delay=1)
        }
        _publish(found, folder, values["as_json"])


def _sources(values: dict[str, Any]) -> dict[str, list[Tensor]]:
    names = values["names"] or (() if values["files"] else ("gaussian",))
    for name in names:
        if name not in sources.DISTRIBUTIONS:
            raise ConfigurationError(unknown("distribution", name, sources.DISTRIBUTIONS))
    found = {name: [sources.draw(name, values["seed"])] for name in names}
    for path in values["files"]:
        tensors = sources.read_tensors(path)
        chosen = Exempt(compressors.make("minmax"))
        kept = [
            tensor
            for name, tensor in tensors.items()
            if (len(tensors) == 1 or chosen.route(tensor.shape) is chosen.inner)
            and (values["player"] is None or name.startswith(f"{values['player']}."))
        ]
        if not any(tensor.any() for tensor in kept):
            raise ConfigurationError(f"{path} holds no tensor to compress; see --player, or give another file")
        found[str(path)] = kept
    return found


def _publish(found: dict[tuple[str, str, str], Measurement], folder: RunFolder, as_json: bool) -> None:
    rows = [
        dict(zip(COLUMNS, (*names, m.error, m.bits, m.huffman, m.entropy, m.bound), strict=True))
        for names, m in found.items()
    ]
    with (folder.path / "measure.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    from hvd_qgenx.levels import measure_figure  # matplotlib takes a while to import

    measure_figure.draw(found, folder.path / "measure.png")
    click.echo(json.dumps(rows) if as_json else f"{_tables(found)}table and picture in {folder.path}")


def _tables(found: dict[tuple[str, str, str], Measurement]) -> str:
    text = io.StringIO()
    console = Console(file=text, width=110)
    for source in dict.fromkeys(names[0] for names in found):
        table = Table(title=source)
        table.add_column("compressor")
        for heading in ("", "error", "bits", "Huffman", "entropy", "error x 2^(2 bits)"):
            table.add_column(heading, justify="right")
        for (where, name, setting), m in found.items():
            if where == source:
                coded = [f"{bits:.3f}" if bits is not None else "-" for bits in (m.huffman, m.entropy)]
                table.add_row(name, setting, f"{m.error:.3g}", f"{m.bits:.3f}", *coded, f"{m.error / m.bound:.3g}")
        console.print(table)
    return text.getvalue()
